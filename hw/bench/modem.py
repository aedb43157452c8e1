"""The simulated modem: a pty that answers AT commands in the state of the drive, in real time.

Promises that writing never blocks, that unplugging takes the pty and its link away and plugging in brings both anew
with a modem that has just powered up, and that the same commands at the same moments are answered the same.

    python -m hw.bench.modem --vendor simcom --scenario drive --seed 1 --start-ns T --link PATH [--call busy,answered] ...
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import select
import sys
from collections.abc import Sequence

from hw.bench.dialogue import NS, OUTCOMES, Manner, Modem
from hw.bench.pace import Pace
from hw.bench.program import add_drive_arguments, complain, pace_of, say, stop_time_ns
from hw.bench.receiver import Line
from hw.bench.scenario import ScenarioError
from hw.bench.truth import Drive

LOOK_NS = 50_000_000
"""How long it may take to notice that it was told to stop."""
READ_BYTES_MAX = 4_096
Windows = tuple[tuple[float, float], ...]


class Wire(Line):
    """A pty that is also read."""

    def heard(self, wait_s: float) -> bytes:
        """What was written to it; waits for it no longer than `wait_s`."""
        ready, _, _ = select.select([self._master], [], [], max(0.0, wait_s))
        with contextlib.suppress(BlockingIOError):
            return os.read(self._master, READ_BYTES_MAX) if ready else b""
        return b""


def serve(modem: Modem, pace: Pace, link: pathlib.Path | None, unplugged: Windows, stop_ns: int) -> None:
    """Plugs in, converses, unplugs and plugs in again as `unplugged` has it: (from, for) in seconds of the drive."""
    for from_ns, until_ns in _plugged(modem.start_ns, unplugged, stop_ns):
        if not pace.wait_until(from_ns):
            return
        wire = Wire(link)
        say(f"ready {wire.path}")
        try:
            modem.restart(pace.now_ns())
            converse(modem, wire, pace, until_ns)
        finally:
            wire.close()


def converse(modem: Modem, wire: Wire, pace: Pace, until_ns: int) -> None:
    """Answers until `until_ns` or until the pace is stopped; prints `text HEX` for each that the network took."""
    told = len(modem.texts)
    while not pace.stop.is_set() and pace.now_ns() < until_ns:
        pace.hear(modem.drive)
        now_ns = pace.now_ns()
        due_ns = modem.next_ns()
        wake_ns = min(now_ns + LOOK_NS, until_ns, now_ns + LOOK_NS if due_ns is None else due_ns)
        data, call = wire.heard((wake_ns - now_ns) / NS), modem.call
        if data:
            modem.hear(data, pace.now_ns())
        said = modem.say(pace.now_ns())
        if said:
            wire.write(said)
        if modem.call is not call:
            say("over" if modem.call is None else "rings" if modem.call.incoming else "dialled")
        for _, octets in modem.texts[told:]:
            say(f"text {octets.hex().upper()}")
        told = len(modem.texts)


def _plugged(start_ns: int, unplugged: Windows, stop_ns: int) -> list[tuple[int, int]]:
    """From when until when the modem is there."""
    edges = [0]
    for at_s, for_s in sorted(unplugged):
        edges += [start_ns + int(at_s * NS), start_ns + int((at_s + for_s) * NS)]
    edges.append(stop_ns)
    return [(begin_ns, end_ns) for begin_ns, end_ns in zip(edges[::2], edges[1::2], strict=True) if begin_ns < end_ns]


def parser() -> argparse.ArgumentParser:
    """The options; what each fault is, `Manner` says."""
    options = argparse.ArgumentParser(prog="hw.bench.modem", description="The simulated modem of the bench.")
    options.add_argument("--link", type=pathlib.Path, help="a path that shall point at the pty")
    options.add_argument("--vendor", default="quectel", choices=("simcom", "quectel"))
    options.add_argument("--registration", type=int, default=1, choices=range(6), help="<stat> of +CREG; default 1, home")
    options.add_argument("--no-sim", action="store_true")
    options.add_argument("--call", type=_outcomes, default=("answered",), help=f"what becomes of each call: {', '.join(OUTCOMES)}")
    options.add_argument("--answer-s", type=float, default=3.0, help="from dialling to the end of ringing")
    options.add_argument("--talk-s", type=float, help="the other side hangs up then; default never")
    options.add_argument("--back-s", type=float, help="the other side calls back so long after a call; default never")
    options.add_argument("--refuse-texts", action="store_true", help="the network takes no text")
    options.add_argument("--chatter-s", type=float, default=20.0, help="about how often it speaks unasked; 0: never")
    options.add_argument("--first-error", action="store_true", help="the first command after power-up or a pause answers ERROR")
    options.add_argument("--garbage", type=float, default=0.0, help="how likely each piece has foreign bytes, 0 to 1")
    for name, what in (("--silence", "says nothing"), ("--unplug", "is not there")):
        options.add_argument(name, type=float, nargs=2, action="append", default=[], metavar=("AT_S", "FOR_S"), help=f"{what} then")
    add_drive_arguments(options)
    return options


def manner_of(options: argparse.Namespace) -> Manner:
    """The options as data."""
    return Manner(
        vendor=options.vendor,
        registration=options.registration,
        sim=not options.no_sim,
        calls=options.call,
        answer_s=options.answer_s,
        talk_s=options.talk_s,
        back_s=options.back_s,
        texts=not options.refuse_texts,
        chatter_s=options.chatter_s or None,
        first_error=options.first_error,
        silences=_windows(options.silence),
        garbage=options.garbage,
    )


def _outcomes(text: str) -> tuple[str, ...]:
    outcomes = tuple(text.split(","))
    if not set(outcomes) <= set(OUTCOMES):
        raise argparse.ArgumentTypeError(f"each of {', '.join(OUTCOMES)}")
    return outcomes


def _windows(pairs: Sequence[Sequence[float]]) -> Windows:
    return tuple((at_s, for_s) for at_s, for_s in pairs)


def main(arguments: list[str] | None = None) -> int:
    """Opens a pty and answers. Exit 2 for a scenario that is no good.

    Prints `ready PATH` when it is plugged in, `dialled` or `rings` when a call begins, `over` when it has ended, `text HEX` for each text.
    """
    options = parser().parse_args(arguments)
    pace = pace_of(options)
    start_ns = options.start_ns if options.start_ns is not None else pace.now_ns()
    try:
        modem = Modem(Drive.load(options.scenario, options.seed), start_ns, manner_of(options), options.seed)
    except ScenarioError as error:
        complain(f"{error}")
        return 2
    serve(modem, pace, options.link, _windows(options.unplug), stop_time_ns(start_ns, options.seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
