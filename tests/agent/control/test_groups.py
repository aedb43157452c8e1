"""Who is in the agent's group: the kernel says it, also where the peer's process can no more be looked at."""

from __future__ import annotations

import os
import socket

import pytest

from agent.control import protocol
from agent.control.protocol import Peer, peer_of
from agent.control.server import permitted

AGENT, OTHER, GROUP = 7001, 7002, 7003


def test_the_kernel_says_the_groups_of_who_asks() -> None:
    """Those beside its own, without a look at its process."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with one, other:
        assert peer_of(one).groups == set(os.getgroups())


def test_what_is_not_known_of_a_peer_s_groups_gives_it_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that does not tell them, or more than are taken: none."""
    monkeypatch.setattr(protocol, "SO_PEERGROUPS", 9999)
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with one, other:
        assert peer_of(one).groups == frozenset()


def test_a_member_of_the_socket_s_group_may_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """By its own group or by one of the others; the owner's routes are for neither."""
    monkeypatch.setattr(os, "geteuid", lambda: AGENT)
    for peer, may in ((Peer(1, OTHER, GROUP), True), (Peer(1, OTHER, OTHER, frozenset({GROUP})), True), (Peer(1, OTHER, OTHER), False)):
        assert permitted(peer, "drive", GROUP) is may
        assert permitted(peer, "call", GROUP) is may
        assert not permitted(peer, "own", GROUP)
