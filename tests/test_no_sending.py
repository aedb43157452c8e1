"""The agent never sends on a bus: what the source shows of it. What a bus shows of it: tests/guest/test_vcan.py."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.sources import Module, modules, within
from tests.test_imports import plant

SENDING = {"send", "send_periodic", "sendto", "sendmsg", "sendall", "write"}
RECEIVES = ("hw.can.bcm", "_tell", {"RX_SETUP", "RX_DELETE"})
"""Where the kernel is told what to let through, and the only opcodes of that."""


def senders_to_the_bus(found: Mapping[str, Module]) -> list[str]:
    """Calls that could put a frame on a bus: any sending behind the port, but for the kernel's orders to receive."""
    module, function, _ = RECEIVES
    sent = []
    for name, calls in ((name, _calls(tree)) for name, tree in _behind_the_port(found)):
        sent += [
            f"{name}:{call.lineno}" for around, call, attribute in calls if attribute in SENDING and (name, around) != (module, function)
        ]
    return sent


def orders_to_the_kernel(found: Mapping[str, Module]) -> set[str]:
    """The opcodes of all heads that are packed for a broadcast manager."""
    trees = dict(_behind_the_port(found))
    packed = [call for _, call, attribute in _calls(trees[RECEIVES[0]]) if attribute == "pack" and ast.unparse(call.func) == "HEAD.pack"]
    return {ast.unparse(call.args[0]) for call in packed}


def can_sockets(found: Mapping[str, Module]) -> list[str]:
    """Where a socket of the CAN family could be opened by who is not behind the port, whose every call is looked at."""
    return [
        f"{name}:{node.lineno}"
        for name, module in found.items()
        if not (within(name, "hw.bench") or within(name, "hw.can"))
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Attribute) and node.attr in {"AF_CAN", "PF_CAN", "CAN_RAW", "CAN_BCM", "CAN_ISOTP", "CAN_J1939"}
    ]


def _behind_the_port(found: Mapping[str, Module]) -> Iterator[tuple[str, ast.AST]]:
    return ((name, module.tree) for name, module in found.items() if within(name, "hw.can"))


def _calls(tree: ast.AST, function: str = "") -> Iterator[tuple[str, ast.Call, str]]:
    """(the function around it, call, the name of the method) for each call of a method."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield function, node, node.func.attr
        yield from _calls(node, node.name if isinstance(node, ast.FunctionDef) else function)


def test_the_agent_never_writes_to_the_bus() -> None:
    """There is no call by which a frame could be sent to the car: behind the port none but what to receive, and no way past it."""
    assert senders_to_the_bus(modules()) == []
    assert orders_to_the_kernel(modules()) == RECEIVES[2]
    assert can_sockets(modules()) == []


def test_a_planted_send_is_found(tmp_path: Path) -> None:
    """Whatever it is called on; the bench's car may, and the kernel may be told what to receive, in one place."""
    plant(tmp_path, "hw.can.bus", "def send(self): ...\nself._bus.send(1)\nself._socket.send(2)\n")
    plant(tmp_path, "hw.can.bcm", "def _tell(self):\n self.socket.send(HEAD.pack(TX_SEND, 0))\nself.socket.send(1)\nx = socket.PF_CAN\n")
    plant(tmp_path, "hw.gnss.receiver", "x = socket.socket(socket.AF_CAN)\n")
    plant(tmp_path, "hw.bench.car", "bus.send(1)\n")
    found = modules(tmp_path)
    assert senders_to_the_bus(found) == ["hw.can.bcm:3", "hw.can.bus:2", "hw.can.bus:3"]
    assert orders_to_the_kernel(found) == {"TX_SEND"}
    assert can_sockets(found) == ["hw.gnss.receiver:1"]
