"""The link's promises: one message a packet in one encoding, and an end rather than an argument."""

from __future__ import annotations

import os
import socket
import stat
import threading
import time
from collections import deque
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import link
from agent.body import to_cbor
from agent.errors import DeviceError
from agent.link import Ack, Close, Inbound, Lane, Link, LinkDown, Message, Offer, Refused, State, TakeBack, TakenBack, decode, encode

TEXT = st.text(max_size=40)
NUMBERS = st.integers(0, 2**64 - 1)
MANY = st.lists(NUMBERS, max_size=20).map(tuple)
MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Lane, lane=TEXT, broker=TEXT, client_id=TEXT, topics=st.lists(TEXT, max_size=3).map(tuple)),
    st.builds(Close, lane=TEXT),
    st.builds(Offer, n=NUMBERS, lane=TEXT, topic=TEXT, payload=st.binary(max_size=500), expires_in_ms=st.integers(0, 2**40)),
    st.builds(Ack, n=NUMBERS, consumers=st.booleans()),
    st.builds(Refused, n=NUMBERS, why=TEXT, again=st.booleans(), hold_ms=st.integers(0, 2**40), maybe_sent=st.booleans()),
    st.builds(TakeBack, ns=MANY),
    st.builds(TakenBack, ns=MANY, maybe_sent=MANY),
    st.builds(Inbound, lane=TEXT, topic=TEXT, payload=st.binary(max_size=500)),
    st.builds(State, lane=TEXT, online=st.booleans(), why=TEXT, protocol=st.sampled_from((0, 4, 5))),
)


@given(MESSAGES)
def test_every_message_comes_back(message: Message) -> None:
    """Whatever one side says the other hears, field by field."""
    assert decode(encode(message)) == message


@given(st.binary(max_size=100))
def test_any_bytes_end_the_link(packet: bytes) -> None:
    """A packet that is no message is never guessed at."""
    with pytest.raises(LinkDown):
        decode(packet)


@pytest.mark.parametrize(
    "packet",
    [
        to_cbor({"op": "ack", "n": 1}),
        to_cbor({"op": "ack", "n": 1, "consumers": True, "more": 1}),
        to_cbor({"op": "ack", "n": "1", "consumers": True}),
        to_cbor({"op": "nothing"}),
        to_cbor({"n": 1, "consumers": True}),
        to_cbor(["ack", 1]),
        encode(Ack(n=1)) + b"\x00",
        b"\xbf" + encode(Ack(n=1))[1:] + b"\xff",
    ],
    ids=["key absent", "key unknown", "wrong type", "unknown op", "no op", "no map", "trailing byte", "indefinite length"],
)
def test_a_packet_outside_the_form_ends_the_link(packet: bytes) -> None:
    """All the keys of its row and no other, in deterministic encoding."""
    with pytest.raises(LinkDown):
        decode(packet)


def test_an_offer_does_not_show_its_payload() -> None:
    """No log line or traceback can carry an envelope."""
    assert "secret" not in repr(Offer(n=1, lane="id:main", topic="t", payload=b"secret"))


def test_the_largest_offer_passes_and_a_larger_one_is_refused() -> None:
    """64 KiB of envelope fit into a packet; beyond the limit the sender is told at once."""
    near, far = link.pair()
    with near, far:
        offer = Offer(n=1, lane="open:main:traffic", topic="m/v1/open/a/b", payload=bytes(65_536))
        near.send(offer)
        assert far.receive(1) == offer
        with pytest.raises(ValueError, match="link packet"):
            near.send(Offer(n=2, lane="id:main", topic="t", payload=bytes(97 * 1024)))


def test_nothing_in_time_is_none() -> None:
    """`receive` waits no longer than it was told."""
    near, far = link.pair()
    with near, far:
        began = time.monotonic()
        assert near.receive(0.05) is None
        assert 0.03 < time.monotonic() - began < 1


def test_the_end_of_a_peer_is_said_to_both_directions() -> None:
    """A closed end raises at the other, for reading and for writing."""
    near, far = link.pair()
    with near:
        far.close()
        with pytest.raises(LinkDown):
            near.receive(1)
        with pytest.raises(LinkDown):
            near.send(Ack(n=1))


def test_closing_wakes_a_reader_of_the_same_end() -> None:
    """A thread that waits for a message is not left behind."""
    near, far = link.pair()
    seen: list[bool] = []

    def read(end: Link) -> None:
        try:
            end.receive()
        except LinkDown:
            seen.append(True)

    reader = threading.Thread(target=read, args=(near,))
    with far:
        reader.start()
        time.sleep(0.05)
        near.close()
        reader.join(2)
    assert seen == [True]


def test_a_peer_that_does_not_read_counts_as_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """A full socket is waited for, but not for ever."""
    monkeypatch.setattr(link, "SEND_S_MAX", 1)
    near, far = link.pair()
    offers = (Offer(n=n, lane="id:main", topic="t", payload=bytes(60_000)) for n in range(100))
    with near, far, pytest.raises(LinkDown):
        deque(map(near.send, offers))


def test_a_packet_beyond_the_limit_ends_the_link() -> None:
    """A truncated packet is never taken for a message."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with one, Link(other) as end:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400_000)
        one.send(bytes(link.PACKET_BYTES_MAX + 1))
        with pytest.raises(LinkDown):
            end.receive(1)


def test_a_listener_replaces_what_a_dead_process_left(tmp_path: Path) -> None:
    """The socket file is made anew with its mode, and each side knows who the other is."""
    path = tmp_path / "link"
    link.listen(path).close()
    path.touch()
    listener = link.listen(path, 0o600)
    with link.connect(path) as near:
        far = listener.accept(1)
        assert far is not None
        with far:
            near.send(TakeBack(ns=(1, 2)))
            assert far.receive(1) == TakeBack(ns=(1, 2))
            assert far.peer()[1] == os.getuid()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    listener.close()
    assert not path.exists()


def test_nobody_listening_is_said(tmp_path: Path) -> None:
    """Without core there is no link, and without a folder no listener."""
    with pytest.raises(LinkDown):
        link.connect(tmp_path / "link")
    with pytest.raises(DeviceError):
        link.listen(tmp_path / "absent" / "link")


def test_a_listener_gives_up_waiting(tmp_path: Path) -> None:
    """`accept` returns None when nobody came."""
    listener = link.listen(tmp_path / "link")
    assert listener.accept(0.05) is None
    listener.close()
