"""NMEA 0183 to fixes: one `Fix` for each moment that the receiver speaks of.

A receiver says one moment in several sentences (RMC, GGA, GNS, GLL, VTG, GSA), for several constellations, in an order of
its own, and may leave the time out of void ones. They are merged by UTC time of day. A moment is over when a sentence
names another time, when a kind of sentence comes again from the same talker, or at `flush`. Times may run backwards or
repeat (receivers do that): each run of one time is a moment of its own.

Promises: a void, impossible or checksum-failed sentence gives no position; RMC's "void" goes before what others say of
the same moment. A date outside the 1,024 weeks from the release is not believed (`time_trusted` False: GPS weeks roll
over after 1,024, so such a date is a receiver that lost count); the position stays. Nothing is repaired or smoothed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import TypeVar

from hw.gnss.at import read_answer
from hw.gnss.lines import LineAssembler
from hw.gnss.sentence import NS, POSITION_KINDS, BadChecksum, Malformed, Said, read_sentence
from hw.ports import Fix

__all__ = ["RELEASE_NS", "Epochs", "LineAssembler", "fixes_in"]

RELEASE_NS = 1_793_491_200 * NS
"""2026-11-01T00:00:00Z, as in agent.clock (a test holds them equal): no true date is older."""
ROLLOVER_NS = 1024 * 7 * 86_400 * NS
DAY_NS = 86_400 * NS
DATE_CARRY_NS = 60 * NS
"""How far a date may be carried to moments whose sentences say only the time of day."""
EARLY_MAX = 16

_1970 = date(1970, 1, 1)
T = TypeVar("T", int, float)


@dataclass(slots=True)
class _Epoch:
    """What was said of one moment so far."""

    t_ns: int
    time_of_day_ns: int | None
    said: list[Said] = field(default_factory=list)
    told: bool = False

    def continues(self, said: Said) -> bool:
        """Whether `said`, of a kind that belongs to one moment, speaks of this one."""
        again = any(known.kind == said.kind and known.talker == said.talker for known in self.said)
        other = None not in (said.time_of_day_ns, self.time_of_day_ns) and said.time_of_day_ns != self.time_of_day_ns
        return not again and not other


class Epochs:
    """Lines in, fixes out. `release_ns`: the oldest date that can be true.

    A fix comes out when the next moment begins; a live reader calls `flush` when the receiver pauses, which it does
    after each burst. Sentences that trail in after the flush are counted and change nothing.
    """

    def __init__(self, release_ns: int = RELEASE_NS) -> None:
        self.lines = self.good = self.bad_checksum = self.malformed = self.void = self.fixes = 0
        self._release_ns = release_ns
        self._epoch: _Epoch | None = None
        self._early: list[Said] = []
        """Said before the first moment began; it belongs to that one."""
        self._dated_ns: int | None = None
        """The last full date and time that was said."""

    def feed_line(self, line: bytes, t_ns: int) -> list[Fix]:
        """Takes one line as the assembler gave it, that arrived at `t_ns`; returns the moment that it ends, if any."""
        self.lines += 1
        if line.startswith(b"+"):
            return self._answered(line, t_ns)
        try:
            said = read_sentence(line)
        except BadChecksum:
            self.bad_checksum += 1
            return []
        except Malformed:
            self.malformed += 1
            return []
        self.good += 1
        return [] if said is None else self._take(said, t_ns)

    def _answered(self, line: bytes, t_ns: int) -> list[Fix]:
        """A modem's answer is a moment of its own."""
        try:
            fix = read_answer(line, t_ns)
        except Malformed:
            self.malformed += 1
            return []
        self.good += 1
        ended = self.flush()
        if fix.mode:
            self.fixes += 1
        else:
            self.void += 1
        return [*ended, replace(fix, time_trusted=self._believes(fix.utc_ns))]

    def _believes(self, utc_ns: int | None) -> bool:
        return utc_ns is not None and 0 <= utc_ns - self._release_ns < ROLLOVER_NS

    def flush(self) -> list[Fix]:
        """The open moment, if it has not been given out."""
        if self._epoch is None or self._epoch.told:
            return []
        self._epoch.told = True
        fix = self._merged(self._epoch)
        if fix.mode:
            self.fixes += 1
        else:
            self.void += 1
        return [fix]

    def interrupt(self) -> list[Fix]:
        """The receiver was unplugged: gives out the open moment and forgets all that could join what comes next."""
        fixes = self.flush()
        self._epoch, self._dated_ns, self._early = None, None, []
        return fixes

    def counters(self) -> dict[str, int]:
        """The summary of `gnss decode`: `lines` are those that began as a sentence, `void` and `fixes` are moments."""
        names = ("lines", "good", "bad_checksum", "malformed", "void", "fixes")
        return {name: int(getattr(self, name)) for name in names}

    def _take(self, said: Said, t_ns: int) -> list[Fix]:
        if said.kind not in POSITION_KINDS:  # these have no moment of their own, or begin none
            if said.kind == "ZDA":
                self._date(said.day, said.time_of_day_ns)
            if self._epoch is not None:
                self._epoch.said.append(said)
            elif len(self._early) < EARLY_MAX:
                self._early.append(said)
            return []
        ended: list[Fix] = []
        if self._epoch is None or not self._epoch.continues(said):
            ended = self.flush()
            self._epoch = _Epoch(t_ns, said.time_of_day_ns, self._early)
            self._early = []
        elif self._epoch.time_of_day_ns is None:
            self._epoch.time_of_day_ns = said.time_of_day_ns
        self._epoch.said.append(said)
        self._date(said.day, said.time_of_day_ns)
        return ended

    def _date(self, day: date | None, time_of_day_ns: int | None) -> None:
        if day is not None and time_of_day_ns is not None:
            self._dated_ns = (day - _1970) // timedelta(days=1) * DAY_NS + time_of_day_ns

    def _utc_ns(self, epoch: _Epoch) -> int | None:
        """The moment's UTC: its time of day on the day that lies nearest to the last date said."""
        if epoch.time_of_day_ns is None or self._dated_ns is None:
            return None
        days = round((self._dated_ns - epoch.time_of_day_ns) / DAY_NS)
        utc_ns = days * DAY_NS + epoch.time_of_day_ns
        return utc_ns if abs(utc_ns - self._dated_ns) <= DATE_CARRY_NS else None

    def _merged(self, epoch: _Epoch) -> Fix:
        by_rank = sorted((said for said in epoch.said if said.kind in POSITION_KINDS), key=lambda said: POSITION_KINDS.index(said.kind))
        utc_ns = self._utc_ns(epoch)
        satellites, hdop = _first(epoch.said, lambda said: said.satellites), _first(epoch.said, lambda said: said.hdop)
        source = None if by_rank[0].kind == "RMC" and by_rank[0].void else next((said for said in by_rank if said.position), None)
        if source is None or source.position is None:
            return Fix(t_ns=epoch.t_ns, hdop=hdop, satellites=satellites, utc_ns=utc_ns, talker=by_rank[0].talker)
        alt_m = _first(by_rank, lambda said: said.alt_m)
        return Fix(
            t_ns=epoch.t_ns,
            mode=_mode(epoch.said, alt_m, satellites),
            lat_deg=source.position[0],
            lon_deg=source.position[1],
            alt_m=alt_m,
            speed_mps=_first(by_rank + epoch.said, lambda said: said.speed_mps),
            course_deg=_first(by_rank + epoch.said, lambda said: said.course_deg),
            hdop=hdop,
            satellites=satellites,
            utc_ns=utc_ns,
            time_trusted=self._believes(utc_ns),
            talker=source.talker,
        )


def fixes_in(chunks: Iterable[bytes], epochs: Epochs) -> Iterator[Fix]:
    """The fixes of a recorded stream. `t_ns` is the receiver's own UTC; where it said none, the time of the fix before."""
    assembler, t_ns = LineAssembler(), 0
    for chunk in _closed(chunks):
        for line in assembler.feed(chunk):
            for fix in epochs.feed_line(line, t_ns):
                t_ns = t_ns if fix.utc_ns is None else fix.utc_ns
                yield replace(fix, t_ns=t_ns)
    for fix in epochs.flush():
        yield replace(fix, t_ns=t_ns if fix.utc_ns is None else fix.utc_ns)


def _closed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """A recording may end without a line end; the checksum still tells a whole last sentence from a cut one."""
    yield from chunks
    yield b"\n"


def _mode(said: list[Said], alt_m: float | None, satellites: int | None) -> int:
    """Two or three dimensions.

    GSA says it where there is one ("no fix" in a GSA is another constellation's or moment's), except that four satellites
    with an altitude are a fix in three: Quectel's EC25 says two whatever it has.
    """
    if alt_m is not None and (satellites or 0) >= 4:
        return 3
    said_dimensions = max((one.dimensions for one in said if one.dimensions in {2, 3}), default=None)
    return said_dimensions or (3 if alt_m is not None else 2)


def _first(said: Iterable[Said], of: Callable[[Said], T | None]) -> T | None:
    return next((value for value in map(of, said) if value is not None), None)
