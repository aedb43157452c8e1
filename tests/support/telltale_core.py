"""modicum-core with one fault of many that somebody could add: it logs what it reads. The scanner of markers must find it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable

from agent.collect.pipeline import Pipeline
from agent.daemons.core import main
from agent.model import Reading

log = logging.getLogger("modicum.telltale")
_read = Pipeline.read


def _told(self: Pipeline, readings: Iterable[Reading]) -> None:
    known = list(readings)
    for one in known:
        log.info("%s is %s", one.signal, one.value)
    _read(self, known)


if __name__ == "__main__":
    Pipeline.read = _told  # type: ignore[method-assign]  # the fault
    sys.exit(main())
