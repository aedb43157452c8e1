"""The multicast group that stands in for a CAN bus where there is no vcan.

Promises a group over which datagrams really come back on this computer: IPv6 first, IPv4 where that does not work.
With hop limit 0 no datagram leaves the computer. Needs a route for multicast, which a computer with nothing but a
loopback interface lacks; then it says so.
"""

from __future__ import annotations

import random
import socket
import struct

import can

from hw.errors import HwError

GROUPS = ("ff11:6d6f:6469:6375:6d62:656e:6368:0001", "239.255.109.99")
"""Interface-local scope of RFC 4291 2.7, and the local scope of RFC 2365: not routed anywhere."""
ECHO_S_MAX = 0.5


class NoMulticast(HwError):
    """No group works on this computer."""


def free_udp_port() -> int:
    """A port that no socket of this computer uses for UDP now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


def usable_group(port: int) -> str:
    """The first group that carries a frame from one socket to another. Raises NoMulticast."""
    for group in GROUPS:
        if _can_join(group) and _echoes(group, port):
            return group
    raise NoMulticast("no multicast on this computer", ", ".join(GROUPS), "ip route add 224.0.0.0/4 dev lo, or name a bus with --bus")


def _can_join(group: str) -> bool:
    """Asked first, because python-can complains aloud about a bus that it could not open."""
    six = ":" in group
    try:
        with socket.socket(socket.AF_INET6 if six else socket.AF_INET, socket.SOCK_DGRAM) as probe:
            address = socket.inet_pton(probe.family, group)
            level, option = (socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP) if six else (socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP)
            probe.setsockopt(level, option, address + struct.pack("@I", 0))
    except OSError:
        return False
    return True


def _echoes(group: str, port: int) -> bool:
    token = random.randbytes(8)  # noqa: S311  only to tell our own datagram from another's
    try:
        with _open(group, port) as one, _open(group, port) as other:
            one.send(can.Message(arbitration_id=0x7FF, is_extended_id=False, data=token))
            answer = other.recv(ECHO_S_MAX)
            return answer is not None and bytes(answer.data) == token
    except (can.CanError, OSError):
        return False


def _open(group: str, port: int) -> can.BusABC:
    return can.Bus(interface="udp_multicast", channel=group, port=port, hop_limit=0)
