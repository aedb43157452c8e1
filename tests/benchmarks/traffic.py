"""Recorded traffic for the benchmarks: the bench's car as a candump log, filled up to a bus that is busy.

The same seed gives the same bytes. Two ways to fill: with identifiers that no DBC of the car has (what a gateway's
bus looks like to somebody with a part of its description), or with repetitions of the car's own frames, so that every frame is one
that a decoder knows.

    python -m tests.benchmarks.traffic FOLDER SECONDS
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from cantools.database.can import Message

from agent.clock import RELEASE_NS
from hw.bench.car import Car
from hw.bench.receiver import Receiver
from hw.bench.truth import Drive
from hw.ports import EXTENDED_ID, Frame

START_NS = RELEASE_NS + 21 * 86_400 * 1_000_000_000
FRAMES_PER_S = 2000
SEED = 1
STRANGERS = 40
STRANGER_IDS = range(0x600, 0x700)
NOISE_LSB = 3
ANALOG_BITS_MIN = 8


def car(seconds: float) -> Iterator[Frame]:
    """The car's own frames, about 635 a second."""
    return Car(Drive.load("drive", SEED), START_NS).frames(START_NS, START_NS + int(seconds * 1e9))


def receiver(seconds: float) -> bytes:
    """What the car's receiver said meanwhile, once a second."""
    drive = Drive.load("drive", SEED)
    return b"".join(data for _, data in Receiver(drive, START_NS).sentences(START_NS, START_NS + int(seconds * 1e9)))


def noisy(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The same with up to NOISE_LSB on every analog signal of every frame: worse than real sensors."""
    messages = {_id(message): message for message in Car(Drive.load("drive", SEED), START_NS).database.messages}
    source = random.Random(SEED)
    for frame in frames:
        message = messages[frame.can_id]
        raw = message.decode(frame.data, decode_choices=False, scaling=False)
        assert isinstance(raw, dict)
        shaken = {name: _shaken(message, name, value, source) for name, value in raw.items()}
        yield Frame(frame.bus, frame.can_id, message.encode(shaken, scaling=False, strict=False), frame.t_ns)


def _id(message: Message) -> int:
    return message.frame_id | (EXTENDED_ID if message.is_extended_frame else 0)


def _shaken(message: Message, name: str, value: object, source: random.Random) -> int:
    signal = message.get_signal_by_name(name)
    raw = int(str(value))
    if signal.length < ANALOG_BITS_MIN or signal.name.startswith(("CODE", "CRC")):
        return raw
    low, high = (-(1 << signal.length - 1), (1 << signal.length - 1) - 1) if signal.is_signed else (0, (1 << signal.length) - 2)
    return min(max(raw + source.randint(-NOISE_LSB, NOISE_LSB), low), high)


def candump(frames: Iterable[Frame], path: Path) -> None:
    """Writes `candump -L`."""
    with path.open("w", encoding="ascii") as file:
        file.writelines(_line(frame.t_ns // 1000, frame) for frame in frames)


def _line(t_us: int, frame: Frame) -> str:
    extended = frame.can_id & EXTENDED_ID
    name = f"{frame.can_id & ~EXTENDED_ID:0{8 if extended else 3}X}"
    fd = "#0" if len(frame.data) > 8 else ""
    return f"({t_us // 1_000_000}.{t_us % 1_000_000:06d}) can0 {name}#{fd}{frame.data.hex().upper()}\n"


def filled(own: list[Frame], seconds: float, *, strangers: bool) -> list[Frame]:
    """Filled up to FRAMES_PER_S, evenly in time."""
    source = random.Random(SEED)
    ids = source.sample(STRANGER_IDS, STRANGERS)
    count = int(FRAMES_PER_S * seconds) - len(own)
    more = []
    for number in range(count):
        t_ns = START_NS + int(number * seconds * 1e9 / count) // 1000 * 1000
        if strangers:
            more.append(Frame("pt", ids[number % STRANGERS], source.randbytes(8), t_ns))
        else:
            like = own[number * len(own) // count]
            more.append(Frame("pt", like.can_id, like.data, t_ns))
    return sorted([*own, *more], key=lambda frame: frame.t_ns)


def main(folder: Path, seconds: float) -> None:
    """Writes strangers.log, known.log and receiver.nmea."""
    own = list(car(seconds))
    candump(filled(own, seconds, strangers=True), folder / "strangers.log")
    candump(filled(own, seconds, strangers=False), folder / "known.log")
    (folder / "receiver.nmea").write_bytes(receiver(seconds))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
