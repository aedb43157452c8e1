"""The uplink as a whole: with a real mosquitto and real faults, and as the process that it is."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent import link
from agent.daemons import uplink as daemon
from agent.daemons.uplink import access_for, accesses, main
from agent.errors import ConfigError
from agent.link import Ack, Close, LinkDown, Offer, TakeBack
from agent.mqtt.connection import Access, access
from agent.sections import Broker
from agent.settings import load_settings
from agent.uplink.session import Limits
from hw.bench.authority import Authority, Credential
from hw.bench.link import Proxy
from tests.support.core import QUICK, Core, Running
from tests.support.fake_broker import FakeBroker
from tests.support.mosquitto import Mosquitto

pytestmark = pytest.mark.live

TOPIC = "m/v1/abc/svc/stream"


class Site:
    """A CA, a broker's credential and those of a car, a recipient and the fleet."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.server = self.authority.issue("server", ("localhost",))
        self.of = {name: self.authority.issue(name) for name in ("car-1", "recipient", "fleet")}

    def to(self, port: int, who: str = "car-1") -> Access:
        mine = self.of[who]
        return access(f"mqtts://localhost:{port}", ca=self.authority.ca, cert=mine.cert, key=mine.key)

    def running(self, port: int, who: str = "car-1", limits: Limits = QUICK) -> Running:
        return Running(lambda _: self.to(port, who), limits)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site"))


def listening(recipient: Running, topic: str = "m/v1/+/#") -> Core:
    """A recipient whose subscription the broker keeps while it is away."""
    recipient.core.open_lane("recipient", (topic,))
    assert recipient.core.run(lambda: recipient.core.online)
    return recipient.core


def payloads(core: Core) -> list[bytes]:
    return [message.payload for message in core.inbound]


def deliver(core: Core, recipient: Core, count: int, within_s: float = 15.0) -> bool:
    """Serves both until the recipient has `count` different payloads and the car has all its acks."""

    def done() -> bool:
        recipient.serve()
        return len(core.acked) == count and len(set(payloads(recipient))) == count

    return core.run(done, within_s)


def fill(core: Core, count: int) -> set[bytes]:
    said = {n: b"%d" % n + bytes(300) for n in range(count)}
    core.todo.extend(said.items())
    return set(said.values())


# -- delivery under faults ----------------------------------------------------------------------------------------------


def test_broker_stopped_cleanly_in_the_middle(site: Site, tmp_path: Path) -> None:
    """Every offer of before, during and after a clean stop reaches a persistent subscriber, each acknowledged once."""
    broker = Mosquitto(tmp_path, site.authority, site.server, persistent=True)
    with broker, site.running(broker.port) as car, site.running(broker.port, "recipient") as other:
        recipient = listening(other)
        said = fill(car.core, 3000)
        car.core.open_lane()
        assert car.core.run(lambda: len(car.core.acked) > 500)
        broker.stop()
        assert car.core.run(lambda: not car.core.online)
        assert recipient.run(lambda: not recipient.online)
        acked = len(car.core.acked)
        assert not car.core.run(lambda: len(car.core.acked) > acked, within_s=1)
        broker.start()
        assert deliver(car.core, recipient, 3000)
        assert len(car.core.acked) == len(set(car.core.acked))
        assert set(payloads(recipient)) == said


def test_link_cut_in_the_middle(site: Site, tmp_path: Path) -> None:
    """Connections that are reset, again and again, lose nothing and acknowledge nothing twice."""
    with (
        Mosquitto(tmp_path, site.authority, site.server) as broker,
        Proxy(broker.port) as proxy,
        site.running(proxy.port) as car,
        site.running(broker.port, "recipient") as other,
    ):
        recipient = listening(other)
        said = fill(car.core, 2000)
        car.core.open_lane()
        for share in (300, 700, 1100):
            assert car.core.run(lambda share=share: len(car.core.acked) > share)  # type: ignore[misc]  # bound at once
            proxy.cut(admit=share != 700)
            assert car.core.run(lambda: not car.core.online)
            proxy.restore()
        assert deliver(car.core, recipient, 2000)
        assert set(payloads(recipient)) == said
        assert len(car.core.acked) == len(set(car.core.acked))
        assert car.core.refused


def test_link_stalled_in_the_middle(site: Site, tmp_path: Path) -> None:
    """A link that is silent and open is given up by the overdue PUBACK, and what was on it is offered again."""
    with (
        Mosquitto(tmp_path, site.authority, site.server) as broker,
        Proxy(broker.port) as proxy,
        site.running(proxy.port) as car,
        site.running(broker.port, "recipient") as other,
    ):
        recipient = listening(other)
        fill(car.core, 400)
        car.core.open_lane()
        assert car.core.run(lambda: len(car.core.acked) > 100)
        proxy.stall()
        assert car.core.run(lambda: any("overdue" in state.why for state in car.core.states), within_s=5)
        proxy.restore()
        assert deliver(car.core, recipient, 400)


def test_broker_sigstop(site: Site, tmp_path: Path) -> None:
    """A stopped broker whose kernel still answers is noticed by the overdue PUBACK; nothing counts as sent meanwhile."""
    with (
        Mosquitto(tmp_path, site.authority, site.server) as broker,
        site.running(broker.port) as car,
    ):
        car.core.open_lane()
        assert car.core.run(lambda: car.core.online)
        broker.pause()
        fill(car.core, 5)
        assert car.core.run(lambda: not car.core.online, within_s=5)
        assert {one.again for one in car.core.refused} == {True}
        assert any(one.maybe_sent for one in car.core.refused)
        assert car.core.acked == []
        broker.resume()
        assert car.core.run(lambda: sorted(car.core.acked) == list(range(5)))


def test_topic_refused_by_the_acl(site: Site, tmp_path: Path) -> None:
    """A service that the broker does not allow is held with its reason; another service of the car goes on."""
    acl = "user car-1\ntopic write m/v1/abc/good/#\n"
    with Mosquitto(tmp_path, site.authority, site.server, acl=acl) as broker, site.running(broker.port) as car:
        car.core.open_lane()
        assert car.core.run(lambda: car.core.online)
        for n, topic in enumerate(("m/v1/abc/bad/x", "m/v1/abc/good/x", "m/v1/abc/bad/y", "m/v1/abc/good/y")):
            car.core.open[n] = b""
            car.core.end.send(Offer(n=n, lane="id:main", topic=topic, payload=b"p"))
            assert car.core.run(lambda: not car.core.open)
        assert car.core.acked == [1, 3]
        assert [(one.n, one.again, one.hold_ms > 3_000_000) for one in car.core.refused] == [(0, True, True), (2, True, True)]
        assert car.core.online


def test_a_message_that_nobody_hears_is_counted_apart(site: Site, tmp_path: Path) -> None:
    """0x10 of a real broker reaches core as an ack without consumers."""
    with Mosquitto(tmp_path, site.authority, site.server) as broker, site.running(broker.port) as car:
        car.core.open_lane()
        assert car.core.run(lambda: car.core.online)
        car.core.end.send(Offer(n=1, lane="id:main", topic=TOPIC, payload=b"p"))
        assert car.core.end.receive(5) == Ack(n=1, consumers=False)


def test_an_order_reaches_the_car_after_it_was_away(site: Site, tmp_path: Path) -> None:
    """What was sent to the car's topic while it was offline arrives when it is back."""
    down = "m/v1/abc/down"
    with Mosquitto(tmp_path, site.authority, site.server) as broker, site.running(broker.port, "recipient") as other:
        with site.running(broker.port) as car:
            car.core.open_lane("car-1", (down,))
            assert car.core.run(lambda: car.core.online)
        other.core.topic = down
        other.core.todo.append((1, b"order"))
        other.core.open_lane("recipient")
        assert other.core.run(lambda: other.core.acked == [1])
        with site.running(broker.port) as car:
            car.core.open_lane("car-1", (down,))
            assert car.core.run(lambda: payloads(car.core) == [b"order"])


# -- the loop -----------------------------------------------------------------------------------------------------------


def plain(broker: FakeBroker) -> Callable[[link.Lane], Access]:
    return lambda _: access(f"mqtt://127.0.0.1:{broker.port}")


def test_taking_back_closes_the_connections_that_wrote_it_and_no_other() -> None:
    """One confirmation for all lanes; a lane that had nothing of it stays connected."""
    with FakeBroker(puback=None) as broker, Running(plain(broker)) as car:
        for lane in ("id:main", "id:spare"):
            car.core.lane = lane
            car.core.open_lane()
        assert car.core.run(lambda: len([state for state in car.core.states if state.online]) == 2)
        car.core.lane = "id:main"
        car.core.todo.append((1, b"payload"))
        assert car.core.run(lambda: len(broker.published()) == 1)
        car.core.end.send(TakeBack(ns=(1, 2)))
        assert car.core.run(lambda: bool(car.core.taken))
        assert (car.core.taken[0].ns, car.core.taken[0].maybe_sent) == ((1, 2), (1,))
        assert {state.lane for state in car.core.states if not state.online} == {"id:main"}


def test_an_offer_for_no_lane_comes_back() -> None:
    """Before its `lane`, and after its `close`, an offer is refused with a hold."""
    with FakeBroker() as broker, Running(plain(broker)) as car:
        for _ in range(2):
            car.core.end.send(Offer(n=1, lane="id:main", topic=TOPIC, payload=b""))
            car.core.open[1] = b""
            assert car.core.run(lambda: not car.core.open)
            car.core.open_lane()
            car.core.end.send(Close(lane="id:main"))
        assert {(one.again, one.hold_ms > 0) for one in car.core.refused} == {(True, True)}


def test_a_lane_said_again_is_the_same_lane() -> None:
    """Core may repeat itself; only other contents give another connection."""
    with FakeBroker() as broker, Running(plain(broker)) as car:
        for client_id in ("car-1", "car-1", "car-2"):
            car.core.open_lane(client_id)
            assert car.core.run(lambda: car.core.online)
        assert car.core.run(lambda: len(broker.connects()) == 2)


@pytest.mark.parametrize("fault", ["a number twice", "a message of the other side"])
def test_a_core_that_breaks_the_promise_loses_its_connections(fault: str) -> None:
    """The link and with it every connection ends: nothing stays that core cannot take back."""
    with FakeBroker(puback=None) as broker, Running(plain(broker)) as car:
        car.core.open_lane()
        assert car.core.run(lambda: car.core.online)
        wrong = Ack(n=1) if fault.startswith("a message") else Offer(n=1, lane="id:main", topic=TOPIC, payload=b"")
        car.core.open[1] = b""
        for _ in range(2):
            car.core.end.send(wrong)
        with pytest.raises(LinkDown):
            car.core.run(lambda: False, within_s=3)


def test_a_lane_without_identity_may_have_no_name() -> None:
    """Were core to give it one, no connection is made."""
    with FakeBroker() as broker, Running(plain(broker)) as car:
        car.core.lane = "open:main:traffic"
        car.core.open_lane("car-1")
        assert car.core.run(lambda: bool(car.core.states))
        assert not car.core.run(lambda: bool(broker.connects()), within_s=0.3)


# -- agent.toml ---------------------------------------------------------------------------------------------------------


def broker_section(**said: object) -> Broker:
    files = {name: Path(f"{name}.pem") for name in ("ca", "cert", "key", "fleet_cert", "fleet_key")}
    return Broker(**{"url": "mqtts://broker.example", "region": "CN", **files, **said})  # type: ignore[arg-type]  # by name


def test_each_kind_of_lane_has_its_own_credential() -> None:
    """The fleet's for lanes without identity, the device's for the others."""
    assert access_for(broker_section(), "open:main:traffic", ["CN"]).cert == Path("fleet_cert.pem")
    assert access_for(broker_section(), "id:main", ["CN"]).cert == Path("cert.pem")


def device_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "unlinkable", lambda _: False)


@pytest.mark.req("R12", "R39", control=device_for_all)
def test_a_missing_fleet_credential_is_never_replaced_by_the_device_s() -> None:
    """Without the fleet's credential nothing unlinkable leaves."""
    with pytest.raises(ConfigError, match="no credential"):
        access_for(broker_section(fleet_cert=None, fleet_key=None), "open:main:traffic", ["CN"])


def every_region(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(daemon, "access_for", lambda broker, lane, _: access_for(broker, lane, [broker.region]))


@pytest.mark.req("R34", control=every_region)
def test_a_broker_of_another_region_is_never_spoken_to() -> None:
    """The operator's attestation has to be among the allowed regions."""
    with pytest.raises(ConfigError, match="region"):
        daemon.access_for(broker_section(region="SE"), "id:main", ["CN"])


def settings_file(folder: Path, port: int, mine: Credential, ca: Path) -> Path:
    config = folder / "agent.toml"
    broker = f'url = "mqtts://localhost:{port}"\nregion = "CN"\nca = "{ca}"\ncert = "{mine.cert}"\nkey = "{mine.key}"'
    rest = f'[vehicle]\nplatform = "bench"\n[regions]\nallowed = ["CN"]\n[link]\nsocket = "{folder}/link"\n'
    config.write_text(f'{rest}[brokers.main]\n{broker}\naddresses = ["127.0.0.0/8", "::1/128"]\n')
    return config


def test_a_broker_that_no_section_names_is_refused(site: Site, tmp_path: Path) -> None:
    """A lane finds its broker by name."""
    access_of = accesses(load_settings(settings_file(tmp_path, 8883, site.of["car-1"], site.authority.ca)))
    assert access_of(link.Lane(lane="id:main", broker="main")).port == 8883
    with pytest.raises(ConfigError, match="no such broker"):
        access_of(link.Lane(lane="id:other", broker="other"))


@pytest.fixture
def hardened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[object]:
    """What `main` asks of the kernel for its process, which here is the tests' own; its file is not there."""
    asked: list[object] = []
    monkeypatch.setattr("agent.daemons.starting.keep_private", lambda: asked.append("private"))
    monkeypatch.setattr("sys.argv", ["modicum-uplink", "--config", str(tmp_path / "absent.toml")])
    return asked


def test_it_leaves_no_core_dump_and_no_file_for_others(hardened: list[object]) -> None:
    """A dump would hold credentials; so it is with modicum-core."""
    main()
    assert hardened == ["private"]


@pytest.mark.usefixtures("hardened")
def test_a_file_that_cannot_be_read_ends_with_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Exit status 2 and what to do, no traceback."""
    assert main() == 2
    assert capsys.readouterr().err.count("\n") == 1


# -- the process --------------------------------------------------------------------------------------------------------


def test_a_core_that_ends_the_link_at_once_is_not_called_all_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused link costs a pause like an absent core does; SIGTERM ends the pause too."""
    handlers: dict[int, Callable[[int, object], None]] = {}
    monkeypatch.setattr("signal.signal", handlers.__setitem__)
    listener = link.listen(tmp_path / "link")
    serving = threading.Thread(target=daemon.serve, args=(tmp_path / "link", plain), daemon=True)
    serving.start()
    links, end_s = 0, time.monotonic() + 1.8 * daemon.AGAIN_S
    while (left_s := end_s - time.monotonic()) > 0:
        end = listener.accept(left_s)
        if end is not None:
            end.close()
            links += 1
    handlers[signal.SIGTERM](signal.SIGTERM, None)
    serving.join(2 * daemon.AGAIN_S)
    assert not serving.is_alive()
    listener.close()
    assert links == 2


def test_the_process_serves_one_core_after_another(site: Site, tmp_path: Path) -> None:
    """It waits for core, delivers, drops its connections when core dies, serves the next core, and ends at SIGTERM."""
    with Mosquitto(tmp_path, site.authority, site.server) as broker:
        config = settings_file(tmp_path, broker.port, site.of["car-1"], site.authority.ca)
        process = subprocess.Popen([sys.executable, "-m", "agent.daemons.uplink", "--config", str(config)], stderr=subprocess.PIPE)
        listener = link.listen(tmp_path / "link")
        try:
            for _ in range(2):
                end = listener.accept(20)
                assert end is not None
                with end:
                    core = Core(end)
                    core.todo.extend((n, b"payload") for n in range(100))
                    core.open_lane()
                    assert core.run(lambda core=core: len(core.acked) == 100)  # type: ignore[misc]  # bound at once
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(5) == 0
            assert time.monotonic() - began < 3
        finally:
            process.kill()
            _, errors = process.communicate()
            listener.close()
        assert errors == b""
        assert broker.log().count("Client car-1 disconnected.") == 2
