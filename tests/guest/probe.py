"""Tries what a service may and what it may not, from inside its sandbox. Standard library only; runs in the guest.

    probe.py core|uplink|ecall

Prints each attempt with "ok" or the name of the error.
"""

from __future__ import annotations

import ctypes
import errno
import json
import mmap
import os
import resource
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

CORE_DATABASE = "/var/lib/modicum/ledger.db"
ROUTE = b'{"route": "%s", "args": {"session": "0123456789abcdef", "kind": "automatic", "messages": 1}}\n'


def opened(path: str, flags: int = os.O_RDONLY) -> Callable[[], object]:
    return lambda: os.close(os.open(path, flags, 0o600))


def connected(path: str, kind: int = socket.SOCK_STREAM) -> Callable[[], object]:
    def connect() -> None:
        with socket.socket(socket.AF_UNIX, kind) as sock:
            sock.connect(path)

    return connect


def made(family: int, kind: int, protocol: int = 0) -> Callable[[], object]:
    return lambda: socket.socket(family, kind, protocol).close()


def can_bound() -> None:
    with socket.socket(socket.AF_CAN, socket.SOCK_RAW, socket.CAN_RAW) as bus:
        bus.bind(("can0",))


def broker_reached() -> None:
    socket.create_connection(("127.0.0.1", 8883), timeout=5).close()


def told(address: str) -> Callable[[], object]:
    """A datagram: where a service may not speak to an address, the kernel says so at once."""

    def tell() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as teller:
            teller.sendto(b"word", (address, 8883))

    return tell


def fix_told() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
        teller.sendto(b"no fix", "/run/modicum-ecall/fixes.sock")


def said_at(path: str, route: str) -> str:
    """What core answers: the status of its refusal, or 0."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(10)
        sock.connect(path)
        sock.sendall(ROUTE.replace(b"%s", route.encode()))
        answer = json.loads(sock.recv(65536))
    return f"answer {answer['error']['status'] if 'error' in answer else 0}"


def set_clock() -> None:
    time.clock_settime(time.CLOCK_REALTIME, time.time())


def written_and_run() -> None:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def raised_priority() -> None:
    os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(2))


def unshared() -> None:
    if ctypes.CDLL(None, use_errno=True).unshare(0x10000000):
        raise OSError(ctypes.get_errno(), "unshare")


ATTEMPTS: dict[str, Callable[[], object]] = {
    "tcp socket": made(socket.AF_INET, socket.SOCK_STREAM),
    "tcp socket, IPv6": made(socket.AF_INET6, socket.SOCK_STREAM),
    "udp socket": made(socket.AF_INET, socket.SOCK_DGRAM),
    "netlink socket": made(socket.AF_NETLINK, socket.SOCK_RAW),
    "packet socket": made(socket.AF_PACKET, socket.SOCK_RAW),
    "can socket": can_bound,
    "broker": broker_reached,
    "an address of the list": told("203.0.113.7"),
    "an address beside it": told("198.51.100.7"),
    "database": opened(CORE_DATABASE),
    "key block": opened("/var/lib/modicum/keys.block"),
    "call's state": lambda: list(Path("/var/lib/modicum-ecall").iterdir()),
    "configuration": opened("/etc/modicum/agent.toml"),
    "VIN": opened("/etc/modicum/vin"),
    "authority": opened("/etc/modicum/keys/ca.pem"),
    "uplink's key": opened("/etc/modicum/uplink/device.key"),
    "call's key": opened("/etc/modicum/ecall/call.key"),
    "sealed credential": opened("/etc/credstore.encrypted/modicum-credential"),
    "control socket": connected("/run/modicum/control.sock"),
    "link socket": connected("/run/modicum-link/link.sock", socket.SOCK_SEQPACKET),
    "call's control socket": connected("/run/modicum-ecall/control.sock"),
    "fix": fix_told,
    "record of a call": lambda: said_at("/run/modicum-audit/audit.sock", "audit.ecall"),
    "another route there": lambda: said_at("/run/modicum-audit/audit.sock", "status"),
    "receiver's port": opened("/dev/modicum-nmea", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK),
    "another device": opened("/dev/probe", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK),
    "memory of the kernel": opened("/dev/mem"),
    "disk": opened("/dev/ubda"),
    "write to /etc": opened("/etc/modicum-was-here", os.O_WRONLY | os.O_CREAT),
    "write to the program": opened("/opt/modicum/was-here", os.O_WRONLY | os.O_CREAT),
    "another process": opened("/proc/1/environ"),
    "set the clock": set_clock,
    "memory that is written and run": written_and_run,
    "higher priority": raised_priority,
    "namespace": unshared,
}


def outcome(attempt: Callable[[], object]) -> str:
    try:
        said = attempt()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))
    return said if isinstance(said, str) else "ok"


credentials = Path(os.environ.get("CREDENTIALS_DIRECTORY", "/nowhere"))
found: dict[str, object] = {name: outcome(attempt) for name, attempt in ATTEMPTS.items()}
found["credential's length"] = len((credentials / "modicum-credential").read_bytes()) if credentials.is_dir() else 0
found["scheduling"] = {0: "other", 2: "rr"}.get(os.sched_getscheduler(0), "another")
found["core dump"] = resource.getrlimit(resource.RLIMIT_CORE)[0]
found["capabilities"] = next(line.split()[1] for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("CapEff"))
found["boot id"] = len(os.environ.get("MODICUM_BOOT_ID", "").replace("-", ""))
json.dump(found, sys.stdout)
