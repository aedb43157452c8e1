"""A program for tests: withdraws an item and ends hard at one step of it, once for each of STEPS, each in a child of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.buffer import store
from agent.buffer.store import Buffer
from agent.collect.pipeline import Pipeline
from agent.core.core import Core
from agent.core.uplinked import Uplinked
from agent.seal.keyblock import KeyBlock
from agent.seal.keyring import Keyring
from agent.storage.chain import Chain
from tests.agent.core.stage import Stage

STEPS: dict[str, tuple[Any, str, bool]] = {
    "ledger-before": (Chain, "append", False),
    "ledger-after": (Chain, "append", True),
    "swap-before": (Pipeline, "swap", False),
    "swap-after": (Pipeline, "swap", True),
    "keys-before": (Keyring, "destroy", False),
    "block-before": (KeyBlock, "destroy", False),
    "block-after": (KeyBlock, "destroy", True),
    "sweep-before": (Buffer, "_sweep", False),
    "delete-before": (Buffer, "_delete", False),
    "delete-after": (Buffer, "_delete", True),
    "checkpoint-before": (store, "checkpoint", False),
    "checkpoint-after": (store, "checkpoint", True),
    "decided": (Core, "decide", True),
    "take-back-before": (Uplinked, "take_back", False),
    "take-back-after": (Uplinked, "take_back", True),
}
"""Name of the folder -> where it ends: owner and name of the function, and whether after it."""
ENDED = 9


def end_at(owner: Any, name: str, *, after: bool) -> None:
    """Makes this process end when it comes to that function."""
    real: Callable[..., Any] = getattr(owner, name)

    def ending(*args: Any, **kwargs: Any) -> Any:
        if after:
            real(*args, **kwargs)
        os._exit(ENDED)

    setattr(owner, name, ending)


def withdraw(folder: Path, step: str) -> None:
    folder.mkdir()
    stage = Stage(folder)
    stage.trip_of("anna", "x.speed")
    stage.drive(5)
    stage.connect()
    stage.pump()
    owner, name, after = STEPS[step]
    end_at(owner, name, after=after)
    stage.ask("consent.withdraw", item="x.speed")


def main(folder: Path) -> None:
    for step in STEPS:
        child = os.fork()
        if child == 0:
            try:
                withdraw(folder / step, step)
            finally:
                sys.stderr.flush()
                os._exit(1)
        print(f"{step}={os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
