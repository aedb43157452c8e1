"""Waking whoever listens at an AT port, while it is open, gone and closed: at once, and never another file."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import serial

from hw.modem.at import Port
from tests.hw.modem.cable import Puppet, Reply, usual


def test_a_listener_is_woken_and_another_one_may_be_before_it_listens(puppets: Callable[[Reply], Puppet]) -> None:
    """What wakes it is never lost; it costs no byte of what the modem says, and no answer."""
    puppet, told = puppets(usual), list[bytes]()
    port = Port(str(puppet.path), unsolicited=told.append)
    port.ask("AT")
    assert port.wakes
    for wake_first in (True, False):
        begin_s = time.monotonic()
        threading.Timer(0.0 if wake_first else 0.1, port.wake).start()
        time.sleep(0.05 * wake_first)
        assert not port.listen(30)
        assert time.monotonic() - begin_s < 10
    for _ in range(20):
        port.wake()
        assert port.ask("AT").result == b"OK"
    port.wake()
    puppet.say(b"\r\nRING\r\n")
    while not told:
        port.listen(5)
    assert told == [b"RING"]
    port.close()


def test_fault_a_port_that_is_gone_is_woken_in_vain(puppets: Callable[[Reply], Puppet]) -> None:
    """Unplugged; and closed it is not even tried: the pipe that wakes it may be another file by then."""
    tried: list[bool] = []

    class Seen(serial.Serial):
        def cancel_read(self) -> None:
            tried.append(self.is_open)
            super().cancel_read()

    puppet = puppets(usual)
    port = Port(str(puppet.path), open_port=Seen)
    puppet.unplug()
    port.wake()
    port.close()
    port.wake()
    assert tried == [True]


def test_fault_a_port_that_drains_while_it_is_closed_keeps_nobody_waiting(puppets: Callable[[Reply], Puppet]) -> None:
    """Whoever wakes it goes on at once, without touching it; closed a second time meanwhile it is closed once."""
    closing, drained, touched = threading.Event(), threading.Event(), list[str]()

    class Drains(serial.Serial):
        def close(self) -> None:
            if self.is_open:
                touched.append("closed")
                closing.set()
                drained.wait(20)
            super().close()

        def cancel_read(self) -> None:
            touched.append("woken")

    def wake_and_close() -> None:
        port.wake()
        port.close()

    port = Port(str(puppets(usual).path), open_port=Drains)
    closer = threading.Thread(target=port.close)
    closer.start()
    try:
        assert closing.wait(20)
        other = threading.Thread(target=wake_and_close, daemon=True)
        other.start()
        other.join(5)
        assert (other.is_alive(), closer.is_alive(), touched) == (False, True, ["closed"])
    finally:
        drained.set()
        closer.join()
