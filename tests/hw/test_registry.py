"""The table of drivers: each entry exists, none is loaded before it is asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

from hw.can.bus import BusReader
from hw.registry import DRIVERS, driver


@pytest.mark.parametrize(("port", "kind"), DRIVERS)
def test_every_driver_exists(port: str, kind: str) -> None:
    """Each line of the table names something that can be called."""
    assert callable(driver(port, kind))


def test_the_bus_reader_serves_live_buses() -> None:
    """`can bus` is the supervised reader."""
    assert driver("can", "bus") is BusReader


def test_an_unknown_kind_names_the_known_ones() -> None:
    """A driver that does not exist is refused with those that do."""
    with pytest.raises(LookupError, match="can bus"):
        driver("can", "telepathy")


def test_nothing_is_loaded_before_it_is_asked_for() -> None:
    """Asking for the receiver loads no CAN, and importing the table loads neither."""
    code = (
        "import sys; import hw.registry as r; assert not {'can', 'serial', 'pynmeagps'} & set(sys.modules);"
        "r.driver('gnss', 'nmea'); assert 'serial' in sys.modules and 'can' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
