"""Recorded traffic: every log format of python-can as frames, read once, in the order of the file.

Promises: a log that is not what its name says raises `UnreadableLog` with a reason and never yields invented frames;
error and remote frames and unknown channels are counted, never yielded; nothing of a log is kept. Times are the log's
own in nanoseconds, exact to the microsecond (ASC times are relative to the start of the measurement, as python-can reads them).

python-can is the only door to a log, with one measured exception: a plain data line of `candump -L` is taken apart here
(2.5 us a line; python-can's reader and its Message need 8 us, plus 3 for the frame). Every other line of such a file
goes through python-can's reader, and a test holds the two readings equal.
"""

from __future__ import annotations

import gzip
import importlib.util
import io
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import can
from can.io import MESSAGE_READERS

from hw.errors import UnreadableLog
from hw.ports import EXTENDED_ID, Frame

ChannelBus = Callable[[str], str | None]
"""The name of a log's channel, as python-can gives it, to the bus it belongs to; None: none of this vehicle's."""

HEAD_BYTES = 65_536
"""How far into a file its format must have shown itself."""
SENDERS_MAX = 65_536
"""Channels with identifiers that are remembered of one log; a car has thousands at most."""

# Loose where looseness is cheap: identifier and half bytes are looked at afterwards, the first once a channel and identifier.
_PLAIN_LINE = re.compile(
    r"\((\d{1,10}+)\.(\d{6})\) (\S++ [0-9A-Fa-f]{3,8}+)#([0-9A-Fa-f]{0,16}+|#[0-9A-Fa-f]{1,129}+)(?: [RT])?\n?"
).fullmatch
_DATA_ID = re.compile(r"[0-7][0-9A-Fa-f]{2}|[01][0-9A-Fa-f]{7}").fullmatch
_ERROR_ID = re.compile(r"\s[2-7A-Fa-f][0-9A-Fa-f]{7}#").search
"""A candump identifier with CAN_ERR_FLAG set (0x20000000). python-can takes only bus errors among these for error frames."""

_NOT_PLAIN = ("", "", "", "")
_READ_FAULTS = (OSError, EOFError, zlib.error)
_TEXT_FORMATS = frozenset({".asc", ".csv", ".log", ".trc"})
_SIGNS: dict[str, tuple[re.Pattern[bytes], str]] = {
    ".asc": (
        re.compile(rb"(?im)^\s*(date\s+\w+\s+\w+|base\s+(hex|dec)\b|begin\s+triggerblock\b|\d+\.\d+\s+(\d+|canfd)\s+\S+\s+(rx|tx)\b)"),
        "a Vector ASC log begins with a date and a base line",
    ),
    ".blf": (re.compile(rb"\ALOGG"), "a Vector BLF log begins with LOGG"),
    ".csv": (re.compile(rb"\Atimestamp,"), "python-can's CSV begins with its column names"),
    ".db": (re.compile(rb"\ASQLite format 3\x00"), "python-can's .db log is an SQLite file"),
    ".log": (re.compile(rb"(?m)^\s*\(\d+\.\d+\)\s+\S+\s+[0-9A-Fa-f]+#"), "record with `candump -L`"),
    ".mf4": (re.compile(rb"\A(MDF|UnFinMF) "), "an ASAM MDF 4 log begins with MDF"),
    ".trc": (re.compile(rb"\A\s*;"), "a PEAK trace begins with comment lines (;)"),
}


@dataclass(slots=True)
class LogCounters:
    """What a log held. `read` counts every message, those of the next three among them.

    `cut_short` is 1 where a candump log ends within a line, as a power cut leaves it; that line is not a frame.
    """

    read: int = 0
    error: int = 0
    remote: int = 0
    other_channel: int = 0
    cut_short: int = 0


def open_log(path: Path) -> Iterator[can.Message]:
    """Every message of a log, as python-can reads it. Raises UnreadableLog, at once or in the middle of a file."""
    return _messages(path, _checked_suffix(path))


def _messages(path: Path, suffix: str) -> Iterator[can.Message]:
    read = 0
    try:
        for message in _reader(path, suffix):
            read += 1
            yield message
    except Exception as error:  # a parser of foreign bytes may raise anything, and all of it means this
        raise _broken(path, suffix, f"after {read} messages", error) from error
    if not read:
        raise _empty(path, suffix)


def log_frames(path: Path, channel_bus: ChannelBus, counters: LogCounters | None = None) -> Iterator[Frame]:
    """The data frames of a log that belong to a bus of the vehicle, in the file's order, with the log's own times.

    `counters` is brought up to date when the log ends or the reading stops. Raises UnreadableLog, at once or in the middle.
    """
    counters = LogCounters() if counters is None else counters
    suffix = _checked_suffix(path)
    if suffix == ".log":
        return _candump_frames(path, channel_bus, counters)
    return _message_frames(_messages(path, suffix), channel_bus, counters)


def _message_frames(messages: Iterator[can.Message], channel_bus: ChannelBus, counters: LogCounters) -> Iterator[Frame]:
    buses: dict[str, str | None] = {}
    for message in messages:
        counters.read += 1
        if message.is_error_frame:
            counters.error += 1
            continue
        if message.is_remote_frame:
            counters.remote += 1
            continue
        channel = "" if message.channel is None else str(message.channel)
        if channel not in buses:
            buses[channel] = channel_bus(channel)
        bus = buses[channel]
        if bus is None:
            counters.other_channel += 1
            continue
        can_id = message.arbitration_id | EXTENDED_ID if message.is_extended_id else message.arbitration_id
        # A float of seconds since 1970 still tells microseconds apart, and no log format here tells more.
        yield Frame(bus, can_id, bytes(message.data), round(message.timestamp * 1e6) * 1000)


def _candump_frames(path: Path, channel_bus: ChannelBus, counters: LogCounters) -> Iterator[Frame]:
    senders: dict[str, tuple[str | None, int] | None] = {}
    plain = others = number = 0
    try:
        with _open_text(path) as lines:
            for number, line in enumerate(lines, 1):  # noqa: B007  # the number is told when the file turns out broken
                match = _PLAIN_LINE(line)
                seconds, micros, name, data = match.groups() if match else _NOT_PLAIN
                if name not in senders:
                    _remember(senders, name, channel_bus)
                sender = senders[name]
                if sender is None or len(data) & 1:
                    unusual = _unusual_line(line, may_be_cut=bool(plain or counters.read), counters=counters)
                    yield from _message_frames(unusual, channel_bus, counters)
                    continue
                plain += 1
                bus, can_id = sender
                if bus is None:
                    others += 1
                else:
                    payload = data[2:] if data[:1] == "#" else data  # CAN FD: "#" and a digit of flags come first
                    yield Frame(bus, can_id, bytes.fromhex(payload), int(seconds + micros) * 1000)
    except (ValueError, IndexError, *_READ_FAULTS) as error:
        raise _broken(path, ".log", f"line {number}", error) from error
    finally:
        counters.read += plain
        counters.other_channel += others
    if not counters.read:
        raise _empty(path, ".log")


def _remember(senders: dict[str, tuple[str | None, int] | None], name: str, channel_bus: ChannelBus) -> None:
    """Whose frame `name` ("can0 123") stands for: bus and identifier, or None for one that is no plain data frame."""
    if len(senders) >= SENDERS_MAX:
        senders.clear()
    channel, _, id_text = name.rpartition(" ")
    extended = EXTENDED_ID if len(id_text) == 8 else 0
    senders[name] = (channel_bus(channel), int(id_text, 16) | extended) if _DATA_ID(id_text) else None


def _unusual_line(line: str, *, may_be_cut: bool, counters: LogCounters) -> Iterator[can.Message]:
    """A line that is not plain, by python-can's own reader. Raises ValueError for one that is no candump line."""
    if not line.strip():
        return
    if _ERROR_ID(line):
        yield can.Message(is_error_frame=True)
        return
    try:
        message = next(iter(can.CanutilsLogReader(io.StringIO(line))))
        if not message.is_remote_frame and len(message.data) != message.dlc:
            raise ValueError("half a byte")
    except (ValueError, IndexError):
        if not may_be_cut or line.endswith("\n"):
            raise
        counters.cut_short += 1
        return
    yield message


def _checked_suffix(path: Path) -> str:
    """The format's suffix in small letters, once the file's first bytes agree with it."""
    names = [name.lower() for name in path.suffixes]
    packed = names[-1:] == [".gz"]
    suffix = "".join(names[-2:-1] if packed else names[-1:])
    sign = _SIGNS.get(suffix)
    if sign is None:
        raise UnreadableLog("unknown log format", str(path), f"known are {' '.join(sorted(_SIGNS))}, text formats also with .gz")
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except _READ_FAULTS as error:
        raise UnreadableLog("cannot read the log", str(path), getattr(error, "strerror", None) or str(error)) from error
    pattern, hint = sign
    if not pattern.search(head):
        what = "the log is not what its name says" if head.strip() else "the log is empty"
        raise UnreadableLog(what, str(path), hint)
    if suffix == ".mf4" and importlib.util.find_spec("asammdf") is None:
        raise UnreadableLog("MF4 logs need the extra mf4", str(path), "add the reader with: make mf4 (not for the device)")
    return suffix


def _reader(path: Path, suffix: str) -> Iterator[can.Message]:
    if suffix not in _TEXT_FORMATS:
        with can.LogReader(path) as reader:
            yield from reader
        return
    with _open_text(path) as text:
        yield from MESSAGE_READERS[suffix](text)  # type: ignore[arg-type]  # every text reader takes an open file


def _open_text(path: Path) -> TextIO:
    """Not by the machine's locale, as python-can would: one log must read the same everywhere, German dates included."""
    if path.suffix.lower() == ".gz":
        return gzip.open(path, "rt", encoding="utf-8", errors="replace")
    return path.open(encoding="utf-8", errors="replace")


def _broken(path: Path, suffix: str, place: str, error: Exception) -> UnreadableLog:
    # The cause's own text may quote a line of the log, payload included: only its kind is told.
    return UnreadableLog(f"the log breaks off its format {place}", str(path), f"{_SIGNS[suffix][1]} [{type(error).__name__}]")


def _empty(path: Path, suffix: str) -> UnreadableLog:
    return UnreadableLog("no CAN frame in the log", str(path), _SIGNS[suffix][1])
