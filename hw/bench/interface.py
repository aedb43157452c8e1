"""What the kernel says of a SocketCAN interface before a car drives on it.

Promises that an interface which is not there, is no CAN or is down is told at once and with the command that mends it, instead of
a wait for frames that cannot come; and that what a usable one leaves out is said. Asks the network of this process, which /sys may
not show in a container.
"""

from __future__ import annotations

import fcntl
import socket
import struct

from hw.errors import HwError

VIRTUAL = "vcan0"
"""The interface that a bench takes by itself."""
FD_MTU = 72
"""Of an interface that carries CAN FD; one that does not has 16."""
CAN_HARDWARE = 280
UP = 1
_SIOCGIFFLAGS, _SIOCGIFMTU, _SIOCGIFHWADDR = 0x8913, 0x8921, 0x8927


class UnusableInterface(HwError):
    """No car can drive on it as it is; the person makes it or brings it up, or names another."""


def present(name: str) -> bool:
    """Whether there is a network interface of this name."""
    return name in {known for _, known in socket.if_nameindex()}


def inspect(name: str) -> list[str]:
    """What somebody who counts frames should know of it. Raises UnusableInterface for one on which no frame comes through."""
    _check(name)
    said = [f"{name}: frames that no rule needs or that say nothing new stay in the kernel, and no number of frames here counts them"]
    if _mtu(name) < FD_MTU:
        cure = f"ip link set {name} down && ip link set {name} mtu {FD_MTU} up"
        said.append(f"{name} carries no CAN FD (mtu {_mtu(name)}), so the car's CAN FD messages are left out; where it is virtual: {cure}")
    return said


def _check(name: str) -> None:
    where = f"socketcan:{name}"
    if not present(name):
        hint = f"plug it in, or make one: ip link add {name} type vcan && ip link set {name} mtu {FD_MTU} up"
        raise UnusableInterface(f"there is no interface {name}", where, f"{hint}; or name another with --bus")
    if _hardware(name) != CAN_HARDWARE:
        raise UnusableInterface(f"{name} is no CAN interface", where, "ip -d link shows those that are; name one with --bus")
    if not _flags(name) & UP:
        raise UnusableInterface(f"{name} is down", where, f"ip link set {name} up, or name another with --bus")


def _hardware(name: str) -> int:
    return int(struct.unpack_from("H", _asked(_SIOCGIFHWADDR, name))[0])


def _flags(name: str) -> int:
    return int(struct.unpack_from("H", _asked(_SIOCGIFFLAGS, name))[0])


def _mtu(name: str) -> int:
    return int(struct.unpack_from("i", _asked(_SIOCGIFMTU, name))[0])


def _asked(request: int, name: str) -> bytes:
    """The answer that stands behind the name in the kernel's `struct ifreq`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        return fcntl.ioctl(any_socket, request, struct.pack("16s24x", name.encode()))[16:]
