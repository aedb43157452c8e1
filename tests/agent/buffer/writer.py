"""Processes to be killed: each fills a buffer as fast as it can and says what is done, one JSON line at a time.

    python -m tests.agent.buffer.writer

Reads `[folder, seed]` from stdin and forks a writer for it, which saves the start of an interpreter for every kill. Says
`{"pid": ...}`, and `{"ended": pid}` on a line of its own when that writer is gone. The writer says `{"t_ms": ..., "appended":
[[n, text], ...]}` after `append` returned, `{"acking": [n, ...]}` before `acked` is called. Every sample lies a little later than
the one before, so that keys are made all the time, and every tenth round the oldest ones expire (`{"expiring": now_ms}` before).
"""

from __future__ import annotations

import json
import os
import random
import sys
from pathlib import Path

from agent.buffer.store import Buffer
from agent.clock import RELEASE_NS
from agent.seal.keyring import Keyring
from agent.storage.sqlite import open_database
from tests.agent.buffer.build import CREDENTIAL, UNITS
from tests.support.samples import draft

KEEP_S = 40


def opened(folder: Path) -> tuple[Keyring, Buffer]:
    """The buffer in `folder`, as a start of the agent opens it."""
    new = not (folder / "keys.block").exists()
    keyring = Keyring.create(folder, CREDENTIAL) if new else Keyring.open(folder, CREDENTIAL)
    return keyring, Buffer(open_database(folder / "buffer.db", keyring.database_key("buffer"), "buffer"), keyring, units=UNITS)


def say(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def write_for_ever(folder: Path, seed: int) -> None:
    """Runs until it is killed."""
    rng = random.Random(seed)
    _, buffer = opened(folder)
    t_s, done = 1000 * seed, 0
    while True:
        t_s += rng.randrange(5)
        texts = [rng.randbytes(rng.randrange(1, 400)).hex() for _ in range(rng.randrange(1, 4))]
        drafts = [draft(text, t_s=t_s, signal="Test.Text", keep_s=KEEP_S, stream=f"s{len(text) % 3}") for text in texts]
        say(t_ms=RELEASE_NS // 10**6 + t_s * 1000, appended=list(zip(buffer.append(drafts), texts, strict=True)))
        done += 1
        if done % 4 == 0:
            waiting = [record.n for record in buffer.waiting(3, [])]
            say(acking=waiting)
            buffer.acked(waiting)
        if done % 10 == 0:
            now_ms = RELEASE_NS // 10**6 + t_s * 1000
            say(expiring=now_ms)
            buffer.expire(now_ms)


def main() -> None:
    """One writer after the other, until stdin ends."""
    for line in sys.stdin:
        folder, seed = json.loads(line)
        pid = os.fork()
        if pid == 0:
            write_for_ever(Path(folder), seed)
        say(pid=pid)
        os.waitpid(pid, 0)
        sys.stdout.write("\n")  # the writer may have been cut within a line
        say(ended=pid)


if __name__ == "__main__":
    main()
