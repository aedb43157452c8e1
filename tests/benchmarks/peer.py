"""The plainest logger that one would write: python-can reads, cantools decodes every known message, one JSON line a sample.

python -m tests.benchmarks.peer LOG DBC OUT         a log; OUT ending in .gz is packed as it is written
python -m tests.benchmarks.peer - DBC OUT INTERFACE CHANNEL PORT    a live bus, port 0: none, until SIGTERM
"""

from __future__ import annotations

import gzip
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import can
import cantools
import cantools.database
from cantools.database.can import Database


def samples(messages: Iterator[can.Message], database: Database, out: TextIO) -> int:
    """Writes a line for each signal of each known message; how many."""
    known = {(message.frame_id, message.is_extended_frame) for message in database.messages}
    count = 0
    for message in messages:
        if message.is_error_frame or message.is_remote_frame or (message.arbitration_id, message.is_extended_id) not in known:
            continue
        decoded = database.decode_message(message.arbitration_id, bytes(message.data))
        for name, value in decoded.items():  # type: ignore[union-attr]  # a DBC has no containers
            out.write(json.dumps({"t": message.timestamp, "signal": name, "value": value}, default=str) + "\n")
            count += 1
    return count


def received(interface: str, channel: str, port: int) -> Iterator[can.Message]:
    """Everything on the bus until SIGTERM."""
    running = [True]
    signal.signal(signal.SIGTERM, lambda *_: running.clear())
    options: dict[str, Any] = {"port": port, "hop_limit": 0} if port else {}
    with can.Bus(interface=interface, channel=channel, fd=True, **options) as bus:
        while running:
            message = bus.recv(1.0)
            if message is not None:
                yield message


def main(log: str, dbc: str, path: str, *bus: str) -> None:
    """Prints how many samples were written."""
    database = cantools.database.load_file(dbc)
    assert isinstance(database, Database)
    with gzip.open(path, "wt", encoding="utf-8") if path.endswith(".gz") else Path(path).open("w", encoding="utf-8") as out:
        if log == "-":
            print(samples(received(bus[0], bus[1], int(bus[2])), database, out))
        else:
            with can.LogReader(log) as reader:
                print(samples(iter(reader), database, out))


if __name__ == "__main__":
    main(*sys.argv[1:])
