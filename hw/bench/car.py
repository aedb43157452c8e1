"""The simulated car on the bus: the truth as frames, in virtual time or on a real python-can bus.

Owns when each message of bench.dbc is sent (its cycle time, a seeded phase), its alive counter and its CRC. Promises that
frame k of a message is the same whatever window it is asked for in, and that a frame's content is the truth at the frame's
own time. Noise fills the bus with frames of no message, as far as a bus can carry them. The process keeps its pace without
drift, skips what it is too late for and records what it sent.

    python -m hw.bench.car --interface udp_multicast --channel GROUP --port N --scenario drive --seed 1 --start-ns T
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import heapq
import json
import pathlib
import random
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import can
import cantools
from cantools.database.can import Database, Message

from hw.bench.crc import sae_j1850
from hw.bench.messages import ALWAYS_AWAKE, CONTENT, CONTENT_IN_TURN, ContentInTurn
from hw.bench.pace import NS, Pace
from hw.bench.program import add_drive_arguments, complain, pace_of, say, stop_time_ns
from hw.bench.record import Recording, to_message
from hw.bench.truth import CarState, Drive
from hw.errors import HwError
from hw.ports import EXTENDED_ID, Frame

DBC = pathlib.Path(__file__).resolve().parents[2] / "config" / "vehicles" / "bench" / "bench.dbc"
BUS = "pt"
SLOT_NS = 5_000_000
"""Phases are multiples of this, so that a sender wakes 200 times a second and not once per frame."""
BLOCK_NS = 50_000_000
"""Frames are encoded for this long ahead ..."""
PREPARE_NS = SLOT_NS
"""... beginning this long before the first of them is due."""
LATE_NS_MAX = NS
"""A frame later than this is skipped: after a suspended laptop nobody wants a minute of frames at once."""
FRAMES_PER_S_MAX = 4250
"""What a bus of 500 kbit/s carries of frames with eight bytes: 47 bits around 64 of data, some 7 stuffed, of 500,000."""
STRANGER_IDS = range(0x600, 0x6E0)
STRANGERS = 40
"""So many of these identifiers, none of them of the DBC, are the noise. Above them are other tests' and diagnosis'."""


class BusOverload(HwError):
    """More frames a second than a bus carries; the person asks for less noise."""


@dataclass(frozen=True, slots=True)
class _Sender:
    """One message of the DBC, ready to be sent again and again."""

    message: Message
    content: ContentInTurn
    can_id: int
    cycle_ns: int
    phase_ns: int
    counter: str | None
    counter_modulo: int
    has_crc: bool
    always_awake: bool

    def payload(self, state: CarState, k: int) -> bytes:
        """The bytes of the message's frame number `k` for a state of the car."""
        values = self.content(state, k)
        if self.counter:
            values[self.counter] = k % self.counter_modulo
        if self.has_crc:
            values["CRC"] = 0
        data = self.message.encode(values)
        return bytes([sae_j1850(data[1:])]) + data[1:] if self.has_crc else data


class _Noise:
    """Frames of strangers, asleep never: each stranger evenly paced, one after the other in a seeded order."""

    def __init__(self, seed: int, per_s: float, start_ns: int, known: set[int]) -> None:
        rng = random.Random(f"{seed} noise")  # noqa: S311  phases, no secret
        self._ids = rng.sample([can_id for can_id in STRANGER_IDS if can_id not in known], STRANGERS)
        self._key = rng.randbytes(16)
        self._per_1000_s = max(1, round(per_s * 1000))
        self._start_ns = start_ns + rng.randrange(1000 * NS // self._per_1000_s)

    def frames(self, bus: str, start_ns: int, stop_ns: int) -> Iterator[Frame]:
        """As `Car.frames`."""
        k = max(0, (start_ns - self._start_ns) * self._per_1000_s // (1000 * NS))
        while (t_ns := self._t_ns(k)) < stop_ns:
            if t_ns >= start_ns:
                # A generator of numbers would have to be seeded anew for each k, at ten times the cost.
                data = hashlib.blake2b(k.to_bytes(8, "big"), digest_size=8, key=self._key).digest()
                yield Frame(bus, self._ids[k % STRANGERS], data, t_ns)
            k += 1

    def _t_ns(self, k: int) -> int:
        """To a microsecond, as every format of a log can keep it."""
        t_ns = self._start_ns + k * 1000 * NS // self._per_1000_s
        return t_ns - t_ns % 1000


class Car:
    """All frames of a drive whose moment zero is `start_ns` on the axis, and so many frames of noise a second among them.

    Raises BusOverload for more noise than the bus carries beside the car's own frames.
    """

    def __init__(self, drive: Drive, start_ns: int, bus: str = BUS, dbc: pathlib.Path = DBC, noise_per_s: float = 0) -> None:
        self.drive, self.start_ns, self.bus = drive, start_ns, bus
        self.database = load_database(dbc)
        self._senders = [_sender(message, drive.seed) for message in self.database.messages]
        self._last = drive.state(0)
        self._check_load(noise_per_s)
        known = {message.frame_id for message in self.database.messages}
        self._noise = _Noise(drive.seed, noise_per_s, start_ns, known) if noise_per_s else None

    def frames(self, start_ns: int, stop_ns: int) -> Iterator[Frame]:
        """The frames with start_ns <= t_ns < stop_ns in the order of time; none before the drive begins."""
        own = self._own_frames(start_ns, stop_ns)
        if self._noise is None:
            return own
        return heapq.merge(own, self._noise.frames(self.bus, start_ns, stop_ns), key=lambda frame: frame.t_ns)

    def _check_load(self, noise_per_s: float) -> None:
        free_per_s = FRAMES_PER_S_MAX - sum(NS / sender.cycle_ns for sender in self._senders)
        if not 0 <= noise_per_s <= free_per_s:
            hint = f"the bus carries {FRAMES_PER_S_MAX} frames a second, the car's own among them: give 0 to {free_per_s:.0f}"
            raise BusOverload(f"no bus has {noise_per_s:g} frames of noise a second", "noise", hint)

    def _own_frames(self, start_ns: int, stop_ns: int) -> Iterator[Frame]:
        queue: list[tuple[int, int, int]] = []
        for index, sender in enumerate(self._senders):
            k = max(0, -((self.start_ns + sender.phase_ns - start_ns) // sender.cycle_ns))
            heapq.heappush(queue, (self.start_ns + sender.phase_ns + k * sender.cycle_ns, index, k))
        while queue[0][0] < stop_ns:
            t_ns, index, k = queue[0]
            sender = self._senders[index]
            heapq.heapreplace(queue, (t_ns + sender.cycle_ns, index, k + 1))
            state = self._state(t_ns)
            if sender.always_awake or state.ignition != "OFF":
                yield Frame(self.bus, sender.can_id, sender.payload(state, k), t_ns)

    def _state(self, t_ns: int) -> CarState:
        t_s = (t_ns - self.start_ns) / NS
        if self._last.t_s != t_s:
            self._last = self.drive.state(t_s)
        return self._last


def load_database(dbc: pathlib.Path = DBC) -> Database:
    """The bench's DBC. Raises ValueError when it holds a message that the car cannot fill, or one without a cycle time."""
    database = cantools.database.load_file(dbc)
    if not isinstance(database, Database):
        raise ValueError(f"{dbc}: no CAN database")
    for message in database.messages:
        if message.name not in CONTENT.keys() | CONTENT_IN_TURN.keys() or not message.cycle_time:
            raise ValueError(f"{dbc}: {message.name} has no content or no cycle time")
    return database


def _sender(message: Message, seed: int) -> _Sender:
    names = {signal.name: signal for signal in message.signals}
    counter = next((name for name in ("ALIVE", "CNT") if name in names), None)
    cycle_ns = int(message.cycle_time or 0) * 1_000_000
    rng = random.Random(f"{seed} {message.name}")  # noqa: S311  a phase, no secret
    return _Sender(
        message=message,
        content=_content(message.name),
        can_id=message.frame_id | (EXTENDED_ID if message.is_extended_frame else 0),
        cycle_ns=cycle_ns,
        phase_ns=rng.randrange(cycle_ns // SLOT_NS) * SLOT_NS,
        counter=counter,
        counter_modulo=1 << names[counter].length if counter else 1,
        has_crc="CRC" in names,
        always_awake=message.name in ALWAYS_AWAKE,
    )


def _content(name: str) -> ContentInTurn:
    if name in CONTENT_IN_TURN:
        return CONTENT_IN_TURN[name]
    content = CONTENT[name]
    return lambda state, _: content(state)


def send_paced(car: Car, bus: can.BusABC, pace: Pace, stop_ns: int, keep: Callable[[Frame], None] | None = None) -> dict[str, Any]:
    """Sends in real time until `stop_ns` or until the pace is stopped; returns the counts. `keep` is told what was sent."""
    counts: Counter[str] = Counter(frames=0, refused=0, skipped=0)
    block_ns = max(car.start_ns, pace.now_ns())
    while block_ns < stop_ns and pace.wait_until(block_ns - PREPARE_NS):
        pace.hear(car.drive)
        end_ns = min(block_ns + BLOCK_NS, stop_ns)
        # Encoded a block ahead: half the work of waking for each frame and encoding it with cold caches.
        for frame, message in [(frame, to_message(frame)) for frame in car.frames(block_ns, end_ns)]:
            if pace.now_ns() - frame.t_ns > LATE_NS_MAX:
                counts["skipped"] += 1
            elif pace.wait_until(frame.t_ns):
                outcome = _send(bus, message)
                counts[outcome] += 1
                if keep and outcome == "frames":
                    keep(frame)
        block_ns = end_ns
    return {**counts, "cpu_s": round(time.process_time(), 3)}


def _send(bus: can.BusABC, message: can.Message) -> str:
    try:
        bus.send(message)
    except can.CanError:
        # A bus that is down or cannot carry FD: a real car goes on sending as well.
        return "refused"
    return "frames"


def open_bus(interface: str, channel: str, port: int | None) -> can.BusABC:
    """The bus to send on. Datagrams of `udp_multicast` never leave this computer (hop limit 0)."""
    options: dict[str, Any] = {"hop_limit": 0} if interface == "udp_multicast" else {}
    if port is not None:
        options["port"] = port
    return can.Bus(interface=interface, channel=channel, fd=True, **options)


def main(arguments: list[str] | None = None) -> int:
    """Sends a drive on a bus; exit 2 for a scenario, noise or recording that is no good, 5 for a bus that does not open."""
    options = _parser().parse_args(arguments)
    pace = pace_of(options)
    start_ns = options.start_ns if options.start_ns is not None else pace.now_ns()
    with contextlib.ExitStack() as stack:
        try:
            car = Car(Drive.load(options.scenario, options.seed), start_ns, noise_per_s=options.noise)
            bus = stack.enter_context(open_bus(options.interface, options.channel, options.port))
            keep = stack.enter_context(Recording(options.record)).add if options.record else None
            say("ready")
            say(json.dumps(send_paced(car, bus, pace, stop_time_ns(start_ns, options.seconds), keep)))
        except HwError as error:
            complain(f"{error}")
            return 2
        except (can.CanError, OSError) as error:
            complain(f"the bus does not open ({options.interface}:{options.channel}): {error}")
            return 5
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hw.bench.car", description="The simulated car of the bench.")
    parser.add_argument("--interface", default="udp_multicast", help="any interface of python-can")
    parser.add_argument("--channel", required=True)
    parser.add_argument("--port", type=int)
    parser.add_argument("--noise", type=float, default=0, metavar="N", help="so many frames a second that no DBC knows")
    parser.add_argument("--record", type=pathlib.Path, metavar="FILE", help="keep what was sent, in the format of the file's ending")
    add_drive_arguments(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
