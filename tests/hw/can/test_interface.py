"""The kernel's interface as iproute2 and sysfs tell it; documents as iproute2 6.1 prints them."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from hw.can.interface import Interface, can_interfaces, interface_of

CAN: dict[str, Any] = {
    "ifname": "can0",
    "flags": ["NOARP", "UP", "LOWER_UP", "ECHO"],
    "operstate": "UP",
    "link_type": "can",
    "linkinfo": {
        "info_kind": "can",
        "info_data": {
            "ctrlmode": ["LISTEN-ONLY"],
            "state": "ERROR-PASSIVE",
            "berr_counter": {"tx": 0, "rx": 135},
            "restart_ms": 100,
            "bittiming": {"bitrate": 500000, "sample_point": "0.875"},
            "clock": 8000000,
        },
    },
}
VCAN = {"ifname": "vcan0", "flags": ["NOARP"], "operstate": "DOWN", "link_type": "can", "linkinfo": {"info_kind": "vcan"}}


def test_a_controller_is_told_with_its_state_rate_and_counters() -> None:
    """What only iproute2 knows."""
    told = interface_of("can0", ask=lambda _: CAN)
    assert told == Interface(there=True, up=True, state="ERROR-PASSIVE", bit_rate=500_000, errors_tx=0, errors_rx=135)


def test_a_virtual_one_has_no_controller() -> None:
    """Here it is down, too."""
    assert interface_of("vcan0", ask=lambda _: VCAN) == Interface(there=True)


def test_without_iproute2_sysfs_says_whether_it_is_up(tmp_path: Path) -> None:
    """And nothing of the controller."""
    (tmp_path / "can0").mkdir()
    (tmp_path / "can0" / "flags").write_text("0x40c1\n")
    assert interface_of("can0", tmp_path, lambda _: None) == Interface(there=True, up=True)
    (tmp_path / "can0" / "flags").write_text("0x40c0\n")
    assert interface_of("can0", tmp_path, lambda _: None) == Interface(there=True, up=False)


def test_one_that_is_not_there_is_told(tmp_path: Path) -> None:
    """By neither."""
    assert interface_of("can7", tmp_path, lambda _: None) == Interface(there=False)


@pytest.mark.parametrize("answer", [OSError(), subprocess.TimeoutExpired("ip", 5), "", "[]", "nothing"])
def test_an_iproute2_that_does_not_answer_is_none(answer: Exception | str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not installed, stuck, or of a version that prints no JSON."""

    def run(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        if isinstance(answer, Exception):
            raise answer
        return subprocess.CompletedProcess([], 0, stdout=answer)

    monkeypatch.setattr("hw.can.interface.subprocess.run", run)
    assert interface_of("can7", tmp_path) == Interface(there=False)


def test_the_can_interfaces_are_those_of_the_kernel_s_kind(tmp_path: Path) -> None:
    """An Ethernet is none."""
    for name, kind in (("vcan0", 280), ("eth0", 1), ("can1", 280)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "type").write_text(f"{kind}\n")
    assert can_interfaces(tmp_path) == ["can1", "vcan0"]
