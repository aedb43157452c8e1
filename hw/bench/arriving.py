"""What reaches the agent of a simulated drive in one process: its frames and its fixes, in the order of their moments."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import replace

from hw.bench.receiver import Receiver
from hw.gnss.lines import LineAssembler
from hw.gnss.nmea import Epochs
from hw.ports import Fix, Frame


def arriving(frames: Iterable[Frame], receiver: Receiver, start_ns: int, stop_ns: int, epochs: Epochs) -> Iterator[Frame | Fix]:
    """Both merged; `frames` in their order, the receiver's epochs within the window as the agent's own parser reads them."""
    sources: list[Iterator[Frame | Fix]] = [iter(frames), _fixes(receiver, start_ns, stop_ns, epochs)]
    return heapq.merge(*sources, key=lambda one: one.t_ns)


def _fixes(receiver: Receiver, start_ns: int, stop_ns: int, epochs: Epochs) -> Iterator[Frame | Fix]:
    """Every epoch on its own, at the moment at which its sentences arrive."""
    assembler = LineAssembler()
    for t_ns, data in receiver.sentences(start_ns, stop_ns):
        fixes = [fix for line in assembler.feed(data) for fix in epochs.feed_line(line, t_ns)] + epochs.flush()
        yield from (replace(fix, t_ns=t_ns) for fix in fixes)
