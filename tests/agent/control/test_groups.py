"""Who is in the agent's group: what cannot be known of a peer counts for nothing."""

from __future__ import annotations

import os

import pytest

from agent.control.protocol import Peer
from agent.control.server import permitted, supplementary_groups

AGENT, OTHER = 7001, 7002


def test_what_is_not_known_of_a_peer_s_groups_gives_it_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is gone, or that is another user's by now, has no groups."""
    mine, group = os.geteuid(), (os.getgroups() or [os.getegid()])[0]
    monkeypatch.setattr(os, "geteuid", lambda: AGENT)
    monkeypatch.setattr(os, "getegid", lambda: group)
    for peer in (Peer(2**30, OTHER, OTHER), Peer(0, OTHER, OTHER), Peer(os.getpid(), mine + 1, OTHER)):
        assert supplementary_groups(peer) == frozenset()
        assert not permitted(peer, "read")
