"""Told by tests/support/sixty.py, in the guest: sends its frames, once for each plan and receiver, and lets the receiver read them.

python -m tests.guest.sixty                        all of it; leaves $SCRATCH/sixty.json
python -m tests.guest.sixty RECEIVER DECISION      one receiver, until it hears SIGTERM; prints what it found
"""

from __future__ import annotations

import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import can

from hw.can.bcm import drops
from hw.can.bus import BusReader
from hw.can.engine import exact_filter
from hw.ports import EXTENDED_ID, Frame, Mux, Subscription
from tests.support.wait import until

RECORD = struct.Struct("<qIB64s")
CLASSIC, FD = struct.Struct("=IB3x8s"), struct.Struct("=IBB2x64s")
LEAD_NS = 300_000_000
SETTLE_S = 1.5
LINE = "vcan0"


class Over(BaseException):
    """SIGTERM."""


def read_all(_: Sequence[Subscription]) -> dict[str, Any]:
    """Every frame of the bus, as python-can's plainest reader gets it."""
    return _read(None)


def read_ids(wanted: Sequence[Subscription]) -> dict[str, Any]:
    """By a filter of the exact identifiers."""
    return _read([exact_filter(one.can_id) for one in wanted])


def _read(filters: Sequence[can.typechecking.CanFilter] | None) -> dict[str, Any]:
    found: Counter[int] = Counter()
    with can.Bus(interface="socketcan", channel=LINE, fd=True, can_filters=filters) as bus:
        print("ready", flush=True)
        began_s = time.process_time()
        try:
            while True:
                message = bus.recv()
                if message is not None:
                    found[message.arbitration_id | (EXTENDED_ID if message.is_extended_id else 0)] += 1
        except Over:
            return _found(found, drops(bus.socket), time.process_time() - began_s)  # type: ignore[attr-defined]


def read_gated(wanted: Sequence[Subscription]) -> dict[str, Any]:
    """As core does: what is delivered to its inbox."""
    found: Counter[int] = Counter()
    silences: Counter[int] = Counter()

    def deliver(item: object) -> None:
        (found if isinstance(item, Frame) else silences)[item.can_id] += 1  # type: ignore[attr-defined]

    clock: dict[str, Any] = {"to_axis": lambda s: round(s * 1e9), "now_ns": time.time_ns}
    reader = BusReader("pt", "socketcan", LINE, deliver=deliver, **clock)
    reader.subscribe(wanted)
    reader.start()
    until(lambda: not reader.problem)
    print("ready", flush=True)
    began_s = time.process_time()
    try:
        while True:
            signal.pause()
    except Over:
        used_s = time.process_time() - began_s
    reader.close()
    return _found(found, reader.counters.lost, used_s) | {
        "engine": reader.engine,
        "silences": silences.total(),
        "read": reader.counters.read,
    }


def _found(found: Counter[int], dropped: int, cpu_s: float) -> dict[str, Any]:
    return {"delivered": found.total(), "by_id": dict(found.most_common()), "dropped": dropped, "cpu_s": cpu_s}


def subscription(plain: dict[str, Any]) -> Subscription:
    """As tests/support/sixty.py wrote it."""
    mux = plain["mux"]
    return Subscription(**plain | {"mux": mux and Mux(mux[0], dict(mux[1]))})


READ: dict[str, Callable[[Sequence[Subscription]], dict[str, Any]]] = {"gate": read_gated, "id filter": read_ids, "raw": read_all}


def send(frames: bytes) -> float:
    """All of them at their times; returns the seconds that the last one was late."""
    with socket.socket(socket.PF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as bus:
        bus.setsockopt(socket.SOL_CAN_RAW, socket.CAN_RAW_FD_FRAMES, 1)
        bus.bind((LINE,))
        start_ns = time.monotonic_ns() + LEAD_NS
        t_ns = 0
        for t_ns, can_id, length, data in RECORD.iter_unpack(frames):
            wait_ns = start_ns + t_ns - time.monotonic_ns()
            if wait_ns > 0:
                time.sleep(wait_ns / 1e9)
            bus.send(FD.pack(can_id, length, 0, data) if length > 8 else CLASSIC.pack(can_id, length, data[:8]))
        return (time.monotonic_ns() - start_ns - t_ns) / 1e9


def main(scratch: Path) -> None:
    asked, frames = json.loads((scratch / "asked.json").read_text()), (scratch / "frames.bin").read_bytes()
    found: dict[str, dict[str, Any]] = {}
    for decision in asked["plans"]:
        for receiver in asked["receivers"]:
            line = [sys.executable, "-m", "tests.guest.sixty", receiver, decision]
            with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
                assert process.stdout is not None
                process.stdout.readline()
                late_s = send(frames)
                time.sleep(SETTLE_S)
                process.terminate()
                found.setdefault(decision, {})[receiver] = json.loads(process.stdout.read()) | {"late_s": late_s}
    (scratch / "sixty.json").write_text(json.dumps(found), encoding="utf-8")


def over(*_: object) -> None:
    raise Over


if __name__ == "__main__":
    scratch = Path(os.environ["SCRATCH"])
    if len(sys.argv) == 1:
        main(scratch)
    else:
        signal.signal(signal.SIGTERM, over)
        plains = json.loads((scratch / "asked.json").read_text())["plans"][sys.argv[2]]
        print(json.dumps(READ[sys.argv[1]]([subscription(one) for one in plains])))
