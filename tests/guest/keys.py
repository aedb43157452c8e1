"""Parts of keys.sh, each in one process of Python, which starts slowly there.

`python3 -m tests.guest.keys live FOLDER`: the former owner's life, under the credential as root reads it.
`python3 -m tests.guest.keys tell STEP`: what `modicum status` and `modicum profile list` say once the agent answers.
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import sys
from pathlib import Path

from agent.cli.main import main
from tests.support.wait import until

CONFIG = Path("/etc/modicum/agent.toml")
ANSWERS_S = 60.0


def live(folder: Path) -> None:
    from agent.cli.sealing import credential_of  # noqa: PLC0415  telling does without
    from agent.settings import load_settings  # noqa: PLC0415
    from tests.support.lived_in import live_in  # noqa: PLC0415

    live_in(folder, credential_of(load_settings(CONFIG)).secret)
    owner = folder.stat()
    for path in folder.iterdir():
        os.chown(path, owner.st_uid, owner.st_gid)


def tell(step: str) -> None:
    for verb, ending in ((["status"], "json"), (["profile", "list"], "profiles")):
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            until(functools.partial(answers, verb), within_s=ANSWERS_S)
        Path(os.environ["SCRATCH"], f"{step}.{ending}").write_text(said.getvalue())


def answers(verb: list[str]) -> bool:
    return main([*verb, "--json", "--config", str(CONFIG)]) == 0


if __name__ == "__main__":
    live(Path(sys.argv[2])) if sys.argv[1] == "live" else tell(sys.argv[2])
