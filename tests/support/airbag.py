"""The control unit of the airbags on a real bus: ten times a second that all is well; after a crash that they are out."""

from __future__ import annotations

import threading
import time

import can

from agent.cli.bench.device import BusChoice
from hw.bench.car import load_database, open_bus
from hw.bench.crc import sae_j1850

CRASH = 0x1FE
EVERY_S = 0.1
APART_S = 0.01
"""Between the two frames that are a crash."""


class Airbag:
    """Sends from its beginning until `stop`; nobody else on the bus sends its frames."""

    def __init__(self, bus: BusChoice) -> None:
        self._message = load_database().get_message_by_frame_id(CRASH)
        self._bus = open_bus(bus.interface, bus.channel, bus.port)
        self._lock = threading.Lock()
        self._count, self._out = 0, False
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="airbag", daemon=True)
        self._thread.start()

    def crash(self) -> int:
        """Two frames that say so, and all that follow until `calm`: when the second of them had left (monotonic nanoseconds)."""
        with self._lock:
            self._out = True
            self._say()
            time.sleep(APART_S)
            self._say()
            return time.monotonic_ns()

    def calm(self) -> None:
        """Takes it back, at once."""
        with self._lock:
            self._out = False
            self._say()

    def stop(self) -> None:
        self._ended.set()
        self._thread.join(5)
        self._bus.shutdown()

    def _run(self) -> None:
        while not self._ended.wait(EVERY_S):
            with self._lock:
                self._say()

    def _say(self) -> None:
        self._count += 1
        values = {"CRC": 0, "CNT": self._count % 16, "DEPLOY": int(self._out), "DIAG": 0, "ACTUATOR_TEST": 0, "SEVERITY": 70 * self._out}
        data = self._message.encode(values)
        self._bus.send(can.Message(arbitration_id=CRASH, is_extended_id=False, data=bytes([sae_j1850(data[1:])]) + data[1:]))
