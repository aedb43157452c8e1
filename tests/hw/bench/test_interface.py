"""hw.bench.interface: what keeps a car from driving on an interface, and what one leaves out."""

from __future__ import annotations

import pytest

from hw.bench.interface import UnusableInterface, inspect, present
from tests.support.interface import interface


def test_the_kernel_is_asked_for_real() -> None:
    """Loopback is there on every computer, and is no CAN; a name that nobody has is not there."""
    assert present("lo")
    assert not present("nocan9")
    with pytest.raises(UnusableInterface, match="lo is no CAN interface"):
        inspect("lo")


@pytest.mark.parametrize(
    ("known", "facts", "said"),
    [
        ("can0", {}, "there is no interface vcan0 .*: plug it in, or make one: ip link add vcan0 type vcan && ip link set vcan0 mtu 72 up"),
        ("vcan0", {"hardware": 1}, "vcan0 is no CAN interface"),
        ("vcan0", {"flags": 0x00C0}, "vcan0 is down .*: ip link set vcan0 up"),
    ],
)
def test_an_unusable_interface_is_told_with_its_cure(monkeypatch: pytest.MonkeyPatch, known: str, facts: dict[str, int], said: str) -> None:
    """Missing, of another kind, or down."""
    interface(monkeypatch, known, **facts)
    with pytest.raises(UnusableInterface, match=said):
        inspect("vcan0")


def test_an_interface_without_can_fd_is_used_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the size that it has, and with the way to make a virtual one larger; one that carries it has nothing to say of it."""
    interface(monkeypatch, "can0", mtu=16)
    assert [remark for remark in inspect("can0") if "mtu 16" in remark and "ip link set can0 mtu 72" in remark]
    interface(monkeypatch, "vcan0")
    assert not [remark for remark in inspect("vcan0") if "FD" in remark]


def test_what_the_kernel_drops_is_in_no_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever compares the numbers with candump is told beforehand."""
    interface(monkeypatch, "vcan0")
    assert "no number of frames here counts them" in inspect("vcan0")[0]
