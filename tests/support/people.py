"""Who drove when, on which trip, and what they had granted by then: the oracle's people."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

from hw.bench.scenario import DRIVER
from tests.support.moments import TAIL_NS, Run
from tests.support.rules import Book
from tests.support.truth import NS, STEP_NS

TRIP_GAP_NS = 180 * NS


class People:
    """Of one run. `on`: (first moment, first moment after) of each stretch with the ignition on."""

    def __init__(self, run: Run, book: Book) -> None:
        self.run, self.items = run, book.items
        self.on = list(_intervals(lambda t_ns: run.truth.state(t_ns).ignition in ("ON", "START"), run.begin_ns, run.end_ns))

    @cached_property
    def first(self) -> frozenset[str]:
        """What the one called `driver` had granted before."""
        return frozenset(self.items) if self.run.granted is None else self.run.granted

    def granted(self, driver: str, t_ns: int) -> frozenset[str]:
        """What a driver has granted by then; what was said on the way is for that trip, and a minor says nothing sensitive."""
        held = set(self.first if driver == DRIVER else ())
        for at_ns, do, item in self.run.said:
            if at_ns > t_ns or self.run.driver(at_ns) != driver:
                continue
            if do == "withdraw":
                held.discard(item)
            elif self.began(at_ns) == self.began(t_ns) and not (driver in self._minors and self.items[item].get("sensitive")):
                held.add(item)
        return frozenset(held)

    @cached_property
    def seats(self) -> list[int]:
        """When somebody else sat down."""
        changes = self.run.truth.drive.scenario.changes
        return [self.run.begin_ns + int(change.at_s * NS) for change in changes if "driver" in change.set_ and change.at_s > 0]

    @cached_property
    def seated(self) -> list[int]:
        """When somebody says who drives: after each of those, and after each time the ignition went on."""
        return [*self.seats, *(on_ns for on_ns, _ in self.on)]

    @cached_property
    def _minors(self) -> set[str]:
        return {one.name for one in self.run.truth.drive.scenario.drivers if one.minor}

    def trip(self, t_ns: int) -> tuple[int, list[int]] | None:
        """The trip at a moment: when it began, and every end of the ignition up to its next one."""
        began_ns, ends = None, []
        for on_ns, off_ns in self.on:
            if on_ns > t_ns:
                break
            if began_ns is None or on_ns - ends[-1] > TRIP_GAP_NS:
                began_ns = on_ns
            ends.append(off_ns)
        return None if began_ns is None else (began_ns, ends)

    def began(self, t_ns: int) -> int | None:
        """When the trip of that moment began; None where none is."""
        trip = self.trip(t_ns)
        return trip[0] if trip is not None and self._goes_on(trip, t_ns) else None

    def _goes_on(self, trip: tuple[int, list[int]], t_ns: int) -> bool:
        return trip[1][-1] > t_ns or t_ns - trip[1][-1] <= TRIP_GAP_NS

    def counts_from(self, item: str | None, began_ns: int, t_ns: int) -> int:
        """From when the way is counted for a stream of this item."""
        return max([began_ns, *(at_ns for at_ns, do, what in self.run.said if (do, what) == ("grant", item) and at_ns <= t_ns)])


def _intervals(holds: Callable[[int], bool], begin_ns: int, end_ns: int) -> Iterator[tuple[int, int]]:
    """(first moment, first moment after) of every stretch in which it holds."""
    since_ns = None
    for t_ns in range(begin_ns, end_ns, STEP_NS):
        if holds(t_ns) and since_ns is None:
            since_ns = t_ns
        elif since_ns is not None and not holds(t_ns):
            yield since_ns, t_ns
            since_ns = None
    if since_ns is not None:
        yield since_ns, end_ns + 2 * TAIL_NS
