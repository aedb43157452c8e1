"""The control socket: who may ask what, and that nobody can hold it up or bring it down."""

from __future__ import annotations

import json
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from agent.control import server as server_module
from agent.control.protocol import REQUEST_BYTES_MAX, Peer, RemoteError, ask, peer_of, read_line
from agent.control.routes import ROUTES
from agent.control.server import CONNECTIONS_MAX, ControlServer
from agent.errors import AgentAbsent, IntegrityError
from tests.support.wait import until

OTHER = 54321
"""A user and a group that the agent is not."""
AGENT, GROUP = 990, 991
EXPECTED = {
    **dict.fromkeys(("ping", "consent.show", "consent.history", "profile.list", "policy.show", "live", "status", "gnss", "plan"), "read"),
    **dict.fromkeys(("consent.grant", "consent.withdraw", "profile.add", "profile.use", "policy.accept", "request", "lock"), "drive"),
    **dict.fromkeys(("gnss.plain", "vin", "unlock", "audit.show"), "own"),
    **dict.fromkeys(("audit.ecall",), "call"),
}
Double = Callable[..., Any]


class Answering:
    """Answers every route with its own name and arguments, at once, later or never."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.held: list[Future[object]] = []
        self.hold = False
        self.problem: Exception | None = None

    def submit(self, route: str, args: dict[str, Any]) -> Future[object]:
        self.asked.append(route)
        answer: Future[object] = Future()
        if self.problem is not None:
            answer.set_exception(self.problem)
        elif self.hold:
            self.held.append(answer)
        else:
            answer.set_result({"route": route, "args": args})
        return answer


@pytest.fixture
def loop() -> Answering:
    return Answering()


@pytest.fixture
def served(tmp_path: Path, loop: Answering) -> Iterator[Path]:
    path = tmp_path / "control.sock"
    made = ControlServer(path, {name: route.permission for name, route in ROUTES.items()}, loop.submit)
    made.start()
    yield path
    for held in loop.held:
        held.set_result("over")
    made.close()
    assert not path.exists()


def connected(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.settimeout(5)
    made.connect(str(path))
    return made


def answers(path: Path) -> bool:
    """Whether a slot is free for a ping."""
    try:
        return bool(ask(path, "ping"))
    except AgentAbsent:
        return False


def said(path: Path, *pieces: bytes) -> bytes:
    """What the server answers to these bytes; empty when it hangs up without a word."""
    with connected(path) as sock:
        for piece in pieces:
            try:
                sock.sendall(piece)
            except OSError:
                break
        try:
            return read_line(sock)
        except OSError:
            return b""


# -- who may -----------------------------------------------------------------------------------------------------------


def test_every_route_has_its_permission() -> None:
    """The whole table, so that a new route needs a decision here; only what shows the record of disclosures is the owner's."""
    assert {name: route.permission for name, route in ROUTES.items()} == EXPECTED
    assert {name for name, route in ROUTES.items() if route.settles} == {"consent.withdraw", "profile.use"}


@pytest.mark.req(
    "R43",
    control=lambda patch: patch.setattr(server_module, "permitted", lambda peer, *_: OTHER not in {peer.uid} & {peer.gid}),
)
def test_permission_by_user_and_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """Root and the agent's own user everything; the agent's group reads and drives; others nothing, for every route of the table."""
    monkeypatch.setattr(os, "geteuid", lambda: AGENT)
    for permission in EXPECTED.values():
        for uid, gid, may in [
            (0, 0, True),
            (AGENT, OTHER, True),
            (OTHER, GROUP, permission != "own"),
            (OTHER, OTHER, False),
            (OTHER, 0, False),
        ]:
            assert server_module.permitted(Peer(1, uid, gid), permission, GROUP) is may, (permission, uid, gid)


def test_the_kernel_says_who_asks() -> None:
    """The peer's credentials are its own, whatever it says."""
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with one, other:
        assert peer_of(one) == Peer(os.getpid(), os.getuid(), os.getgid(), frozenset(os.getgroups()))


def test_the_socket_is_for_user_and_group_only(served: Path) -> None:
    """Mode 660: others cannot even connect."""
    assert served.stat().st_mode & 0o777 == 0o660


def as_other(path: Path, route: str, *, groups: list[int], gid: int = OTHER) -> int:
    """Exit status of asking `route` as another user, in a child of this process."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            os.setgroups(groups)
            os.setgid(gid)
            os.setuid(OTHER)
            ask(path, route)
            status = 0
        except RemoteError as error:
            status = error.exit_status
        except AgentAbsent:
            status = 3
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")


@pytest.fixture
def reachable(served: Path) -> Path:
    """The folders above it may be entered by everybody, as /run/modicum may."""
    base = Path(tempfile.gettempdir())
    for folder in served.parents:
        if base in folder.parents:
            folder.chmod(folder.stat().st_mode | 0o011)
    return served


def open_to_all(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.chmod
    monkeypatch.setattr(Path, "chmod", lambda self, mode: real(self, 0o777))
    monkeypatch.setattr(server_module, "permitted", lambda peer, permission, group: True)


@needs_root
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.req("R43", control=open_to_all)
def test_another_user_may_not_connect(reachable: Path, loop: Answering) -> None:
    """Neither user nor group of the agent: exit 4, and the loop never hears of it."""
    assert as_other(reachable, "ping", groups=[]) == 4
    assert loop.asked == []


@needs_root
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize(("gid", "groups"), [(os.getegid(), []), (OTHER, [os.getegid()])], ids=["primary", "supplementary"])
def test_a_member_of_the_group_reads_and_drives_and_does_not_own(reachable: Path, loop: Answering, gid: int, groups: list[int]) -> None:
    """By the peer's credentials over the real socket: 0 for read and drive, 4 for what is the owner's."""
    statuses = {route: as_other(reachable, route, groups=groups, gid=gid) for route in ("live", "consent.withdraw", "audit.show")}
    assert statuses == {"live": 0, "consent.withdraw": 0, "audit.show": 4}
    assert loop.asked == ["live", "consent.withdraw"]


@needs_root
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_socket_that_everybody_can_reach_still_asks_who_it_is(reachable: Path, loop: Answering) -> None:
    """Mode and folder opened by mistake: the kernel's word about the peer decides."""
    reachable.chmod(0o666)
    assert as_other(reachable, "ping", groups=[]) == 4
    assert loop.asked == []


# -- what is asked -----------------------------------------------------------------------------------------------------


def test_an_answer_carries_what_the_route_gives(served: Path) -> None:
    """Arguments arrive as they were said, whatever their language."""
    assert ask(served, "profile.add", name="小明") == {"route": "profile.add", "args": {"name": "小明"}}


def test_an_error_comes_with_its_exit_status(served: Path, loop: Answering) -> None:
    """What the agent says of itself reaches the command line whole."""
    loop.problem = IntegrityError("the chain is broken", "ledger.db", "keep it")
    with pytest.raises(RemoteError) as caught:
        ask(served, "status")
    assert (str(caught.value), caught.value.exit_status) == ("modicum: the chain is broken (ledger.db): keep it", 1)


GARBAGE: list[bytes] = [
    b"\n",
    b"not json\n",
    b"\xff\xfe\x00\n",
    b"[]\n",
    b'"ping"\n',
    b"null\n",
    b"17\n",
    b"{}\n",
    b'{"route": 5}\n',
    b'{"route": ["ping"]}\n',
    b'{"route": "absent"}\n',
    b'{"route": "__class__"}\n',
    b'{"route": "\\ud800"}\n',
    b'{"route": "ping", "args": []}\n',
    b'{"route": "ping", "args": null}\n',
    b"[" * 60_000 + b"\n",
    b'{"a":' * 10_000 + b"\n",
    b"\x00" * 1000 + b"\n",
]


@pytest.mark.parametrize("request_", GARBAGE, ids=range(len(GARBAGE)))
def test_garbage_is_answered_with_exit_2_and_reaches_no_route(served: Path, loop: Answering, request_: bytes) -> None:
    """One line with what, where, hint and status; and the next request is served."""
    answer = json.loads(said(served, request_))
    assert answer["error"]["status"] == 2
    assert loop.asked == []
    assert ask(served, "ping")


def test_a_request_in_pieces_is_one_request(served: Path) -> None:
    """A slow writer is waited for until its line is complete."""
    assert json.loads(said(served, b'{"rou', b'te": "pi', b'ng"}', b"\n"))["ok"]["route"] == "ping"


def test_an_oversized_request_is_refused(served: Path, loop: Answering) -> None:
    """More than 64 KiB: refused without being kept, whether or not a line ever ends."""
    large = b'{"route": "ping", "args": {"x": "' + b"x" * REQUEST_BYTES_MAX + b'"}}\n'
    answer = said(served, large)
    assert not answer or json.loads(answer)["error"]["status"] == 2
    assert loop.asked == []
    assert ask(served, "ping")


def test_a_peer_that_hangs_up_in_the_middle_costs_nothing(served: Path, loop: Answering) -> None:
    """Half a request and gone, many times: all slots are free afterwards."""
    for _ in range(3 * CONNECTIONS_MAX):
        try:
            with connected(served) as sock:
                sock.sendall(b'{"route"')
        except OSError:  # the queue of connections is full, or this one was turned away
            time.sleep(0.01)
    until(lambda: answers(served), "a free slot")
    assert loop.asked == ["ping"]


def test_a_request_that_drips_is_ended_after_its_time(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then does not hold a connection for ever: the time counts for the whole request."""
    monkeypatch.setattr(server_module, "REQUEST_S", 0.5)
    with connected(served) as sock:  # which waits for five seconds
        stop, dripped = threading.Event(), 0

        def drip() -> None:
            nonlocal dripped
            while not stop.wait(0.1):
                try:
                    dripped += sock.send(b" ")
                except OSError:
                    return

        dripping = threading.Thread(target=drip)
        dripping.start()
        answer = read_line(sock)
        stop.set()
        dripping.join()
    assert json.loads(answer)["error"]["status"] == 2
    assert dripped > 1


def test_at_most_eight_connections_at_a_time(served: Path, loop: Answering) -> None:
    """The ninth is turned away at once as an agent that does not answer; a slot that comes free serves again."""
    loop.hold = True
    waiting = [connected(served) for _ in range(CONNECTIONS_MAX)]
    for sock in waiting:
        sock.sendall(b'{"route": "ping"}\n')
    until(lambda: len(loop.held) == CONNECTIONS_MAX, "eight requests")
    with pytest.raises(AgentAbsent):  # one that waited in line would be answered, or end as a loop that is busy
        ask(served, "ping")
    assert loop.asked == ["ping"] * CONNECTIONS_MAX
    loop.hold = False
    loop.held.pop().set_result("late")
    until(lambda: any(map(_readable, waiting)), "the answer of the freed one")
    assert sorted(read_line(sock) for sock in waiting if _readable(sock)) == [b'{"ok": "late"}']
    until(lambda: answers(served), "a slot that is free again")
    for sock in waiting:
        sock.close()


def _readable(sock: socket.socket) -> bool:
    sock.settimeout(0.2)
    try:
        return bool(sock.recv(1, socket.MSG_PEEK))
    except TimeoutError:
        return False


def test_a_loop_that_does_not_answer_is_said_to_be_busy(served: Path, loop: Answering, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit 5, try again; not an endless wait."""
    monkeypatch.setattr(server_module, "ANSWER_S_MAX", 0.2)
    loop.hold = True
    with pytest.raises(RemoteError) as caught:
        ask(served, "status")
    assert caught.value.exit_status == 5


@pytest.mark.parametrize("state", ["no socket", "nobody listens", "no folder"])
def test_an_absent_agent_is_exit_3(tmp_path: Path, state: str) -> None:
    """No socket, a left-over file of a dead agent, no folder: the agent does not answer."""
    path = tmp_path / "control.sock" if state != "no folder" else tmp_path / "a" / "b"
    if state == "nobody listens":
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(path))
    with pytest.raises(AgentAbsent) as caught:
        ask(path, "ping")
    assert caught.value.exit_status == 3
    assert str(path) in str(caught.value)


def test_a_left_over_socket_is_replaced(tmp_path: Path, loop: Answering) -> None:
    """The agent starts again after it was killed."""
    path = tmp_path / "control.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    made = ControlServer(path, {"ping": "read"}, loop.submit)
    made.start()
    assert made.alive()
    assert ask(path, "ping")
    made.close()


def test_something_else_that_answers_is_no_agent(tmp_path: Path) -> None:
    """Words that are no answer of ours, or none at all, are an absent agent and no traceback."""
    for words in (b"hello\n", b"", b"5\n", b"\xff\n"):
        path = tmp_path / f"{len(words)}{words[:1].hex()}.sock"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen(1)
            other = threading.Thread(target=_answers, args=(listener, words))
            other.start()
            with pytest.raises(AgentAbsent):
                ask(path, "ping")
            other.join()


def _answers(listener: socket.socket, words: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(words)
