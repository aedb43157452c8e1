"""hw.bench.group: a multicast group that works here, or a clear no."""

from __future__ import annotations

import can
import pytest
from can.interfaces.udp_multicast import UdpMulticastBus

from hw.bench import group
from hw.bench.group import GROUPS, NoMulticast, free_udp_port, usable_group


def test_a_usable_group_carries_a_frame() -> None:
    """Two sockets on the group that was named hear each other."""
    port = free_udp_port()
    name = usable_group(port)
    with (
        can.Bus(interface="udp_multicast", channel=name, port=port, hop_limit=0) as one,
        can.Bus(interface="udp_multicast", channel=name, port=port, hop_limit=0) as other,
    ):
        one.send(can.Message(arbitration_id=0x2CC, is_extended_id=False, is_fd=True, data=bytes(range(16))))
        heard = other.recv(2)
    assert heard is not None
    assert (heard.arbitration_id, bytes(heard.data), heard.is_fd) == (0x2CC, bytes(range(16)), True)


def test_without_ipv6_the_other_group_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first that does not open is passed over."""
    monkeypatch.setattr(group, "GROUPS", ("ff1f:nonsense", GROUPS[1]))
    assert usable_group(free_udp_port()) == GROUPS[1]


def test_no_route_for_multicast_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing opens: the error names what was tried and what to do."""

    def refuse(**_: object) -> can.BusABC:
        raise can.CanInitializationError("no such device")

    monkeypatch.setattr(can, "Bus", refuse)
    with pytest.raises(NoMulticast, match="ip route add"):
        usable_group(43000)


def test_a_group_that_swallows_frames_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening is not enough: the frame has to come back."""
    monkeypatch.setattr(group, "ECHO_S_MAX", 0.01)
    monkeypatch.setattr(UdpMulticastBus, "send", lambda *_, **__: None)
    with pytest.raises(NoMulticast):
        usable_group(free_udp_port())
