"""agent.toml: defaults, paths, and what is refused with file and key."""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import settings as module
from agent.errors import ConfigError
from agent.folders import config_folder
from agent.sections import Broker
from agent.settings import load_settings, vin_of
from agent.toml import Report
from tests.agent.catalogue.trees import toml

Raw = dict[str, Any]


def minimal() -> Raw:
    return {"vehicle": {"platform": "bench"}, "regions": {"allowed": ["CN"]}}


def whole() -> Raw:
    raw: Raw = tomllib.loads((config_folder() / "agent.toml").read_text(encoding="utf-8"))
    return raw


def write(raw: Raw, folder: Path) -> Path:
    path = folder / "agent.toml"
    path.write_text("".join(f"{key} = {toml(value)}\n" for key, value in raw.items()), encoding="utf-8")
    return path


def test_two_sections_are_enough(tmp_path: Path) -> None:
    """Vehicle and regions are required; everything else has its documented default."""
    loaded = load_settings(write(minimal(), tmp_path))
    assert (loaded.state.dir, loaded.state.quota_mib) == (Path("/var/lib/modicum"), 64)
    assert (loaded.topics.prefix, loaded.entitlement.package, loaded.clock.sources) == ("modicum", "none", ("ntp", "gnss"))
    assert (loaded.control.socket, loaded.link.socket) == (Path("/run/modicum/control.sock"), Path("/run/modicum-link/link.sock"))
    assert (loaded.vehicle.vin, loaded.gnss, loaded.modem, loaded.bus, loaded.brokers, loaded.recipients) == (None, None, None, (), {}, {})
    assert (loaded.keys.provider, loaded.credential_path) == ("systemd", Path("/etc/credstore.encrypted/modicum-credential"))


def test_relative_paths_count_from_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every path of the file is absolute after loading, wherever the agent was started; device names are left alone."""
    raw = whole()
    raw["state"]["dir"] = "state"
    raw["keys"] = {"provider": "file", "path": "credential.bin"}
    raw["catalogue"] = {"dir": "catalogue"}
    raw["gnss"]["port"] = "rfc2217://127.0.0.1:1"
    path = write(raw, tmp_path)
    monkeypatch.chdir(tmp_path)
    loaded = load_settings(Path(path.name))
    assert loaded.state.dir == tmp_path / "state"
    assert loaded.recipients["traffic"].key == tmp_path / "keys/traffic.pub"
    assert loaded.brokers["main"].ca == tmp_path / "keys/ca.pem"
    assert loaded.catalogue.dir == tmp_path / "catalogue"
    assert loaded.credential_path == tmp_path / "credential.bin"
    assert loaded.gnss is not None
    assert loaded.gnss.port == "rfc2217://127.0.0.1:1"


@pytest.mark.parametrize(
    ("keys", "rests"),
    [
        ({"provider": "systemd-host"}, "/etc/credstore.encrypted/modicum-credential"),
        ({"provider": "systemd", "path": "/etc/keys/other"}, "/etc/keys/other"),
        ({"provider": "file"}, "/var/lib/modicum/credential"),
    ],
)
def test_where_the_credential_rests(tmp_path: Path, keys: dict[str, str], rests: str) -> None:
    """Where systemd looks for its sealed form, in the state folder for `file`, or where `path` says; weak ones have to be asked for."""
    assert load_settings(write(minimal() | {"keys": keys}, tmp_path)).credential_path == Path(rests)


def put(*path: str | int, value: Any) -> Callable[[Raw], None]:
    def fault(raw: Raw) -> None:
        at: Any = raw
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value

    return fault


FAULTS: dict[str, tuple[Callable[[Raw], object], str]] = {
    "no vehicle": (lambda raw: raw.pop("vehicle"), "vehicle"),
    "no regions": (lambda raw: raw.pop("regions"), "regions"),
    "no allowed regions": (put("regions", value={}), "regions.allowed"),
    "VIN too short": (put("vehicle", "vin", value="WMWTESTCAR000001"), "vehicle.vin"),
    "VIN with an O": (put("vehicle", "vin", value="WMWTESTCARO000001"), "vehicle.vin"),
    "VIN with a line end": (put("vehicle", "vin", value="WMWTESTCAR0000001\n"), "vehicle.vin"),
    "VIN in two places": (put("vehicle", "vin", value="WMWTESTCAR0000001"), "vehicle.vin"),
    "platform that leaves the folder": (put("vehicle", "platform", value="../x"), "vehicle.platform"),
    "quota of nothing": (put("state", "quota_mib", value=0), "state.quota_mib"),
    "two buses of one name": (lambda raw: raw["bus"].append(raw["bus"][0]), "bus[1].name"),
    "unknown suite": (put("recipients", "traffic", "suite", value="rot13"), "recipients.traffic.suite"),
    "recipient without a key": (lambda raw: raw["recipients"]["traffic"].pop("key"), "recipients.traffic.key"),
    "recipient of an unknown broker": (put("recipients", "traffic", "broker", value="other"), "recipients.traffic.broker"),
    "broker without a region": (lambda raw: raw["brokers"]["main"].pop("region"), "brokers.main.region"),
    "broker without an authority": (lambda raw: raw["brokers"]["main"].pop("ca"), "brokers.main.ca"),
    "certificate without its key": (lambda raw: raw["brokers"]["main"].pop("key"), "brokers.main.key"),
    "fleet key without its certificate": (lambda raw: raw["brokers"]["main"].pop("fleet_cert"), "brokers.main.fleet_key"),
    "address that is no network": (put("brokers", "main", "addresses", value=["203.0.113.1/24"]), "brokers.main.addresses[0]"),
    "prefix with a wildcard": (put("topics", "prefix", value="a/#"), "topics.prefix"),
    "prefix of five levels": (put("topics", "prefix", value="a/b/c/d/e"), "topics.prefix"),
    "unknown clock": (put("clock", "sources", value=["phone"]), "clock.sources[0]"),
    "unknown key provider": (put("keys", "provider", value="cloud"), "keys.provider"),
    "empty path": (put("state", "dir", value=""), "state.dir"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_refused_with_file_and_key(name: str, tmp_path: Path) -> None:
    """Each fault of a device file is named by its key."""
    fault, key = FAULTS[name]
    raw = whole()
    fault(raw)
    with pytest.raises(ConfigError) as caught:
        load_settings(write(raw, tmp_path))
    assert caught.value.where == f"agent.toml: {key}"
    assert caught.value.hint


def test_vin_is_never_repeated(tmp_path: Path) -> None:
    """A refused VIN does not stand in the message."""
    raw = whole()
    raw["vehicle"]["vin"] = "WMWTESTCARO000001"
    with pytest.raises(ConfigError) as caught:
        load_settings(write(raw, tmp_path))
    assert "WMW" not in str(caught.value)


def with_vin_file(content: bytes | None, folder: Path) -> module.Settings:
    """Settings of a device whose VIN stands in a file, with this in it."""
    if content is not None:
        (folder / "vin").write_bytes(content)
    return load_settings(write(minimal() | {"vehicle": {"platform": "bench", "vin_file": "vin"}}, folder))


@pytest.mark.parametrize("content", [b"WMWTESTCAR0000001", b"WMWTESTCAR0000001\r\n"])
def test_the_vin_may_stand_in_a_file_of_its_own(content: bytes, tmp_path: Path) -> None:
    """With or without the line's end, whatever wrote it."""
    assert vin_of(with_vin_file(content, tmp_path)) == "WMWTESTCAR0000001"


def test_the_vin_may_stand_in_the_settings_or_nowhere(tmp_path: Path) -> None:
    """As before there was a file for it."""
    assert vin_of(load_settings(write(minimal(), tmp_path))) is None
    raw = minimal() | {"vehicle": {"platform": "bench", "vin": "WMWTESTCAR0000001"}}
    assert vin_of(load_settings(write(raw, tmp_path))) == "WMWTESTCAR0000001"


@pytest.mark.parametrize("content", [None, b"", b"WMWTESTCARO000001", b"WMWTESTCAR0000001 of Ann", b"\xffWMWTESTCAR000001"])
def test_a_file_that_tells_no_vin_bars_nobody_who_does_not_need_it(content: bytes | None, tmp_path: Path) -> None:
    """The settings load; who asks for the VIN is told the file, and nothing of what stands in it."""
    settings = with_vin_file(content, tmp_path)
    with pytest.raises(ConfigError) as caught:
        vin_of(settings)
    assert caught.value.where == str(tmp_path / "vin")
    assert caught.value.hint
    assert "WMW" not in str(caught.value)


@pytest.mark.req("R34", control=lambda m: m.setattr(module, "_is_here", lambda host: True))
@pytest.mark.parametrize("url", ["mqtt://broker.example:1883", "mqtt://203.0.113.7", "mqtt://127.0.0.1.example"])
def test_unencrypted_broker_elsewhere_is_refused(url: str, tmp_path: Path) -> None:
    """mqtt:// is for this machine only."""
    raw = whole()
    raw["brokers"]["main"]["url"] = url
    with pytest.raises(ConfigError, match="leaves this machine"):
        load_settings(write(raw, tmp_path))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "broker.example",
        "http://broker.example",
        "mqtts://",
        "mqtts://broker.example:99999",
        "mqtts://broker.example:0",
        "mqtts://[::1",
        "mqtts://user:secret@broker.example",
        "mqtts://broker.example/WMWTESTCAR0000001",
        "mqtts://broker.example?client=1",
    ],
)
def test_url_that_is_none_or_says_more_is_refused(url: str, tmp_path: Path) -> None:
    """A broker's URL is a scheme, a host and a port; no user, path or query can carry an identity."""
    raw = whole()
    raw["brokers"]["main"]["url"] = url
    with pytest.raises(ConfigError) as caught:
        load_settings(write(raw, tmp_path))
    assert caught.value.where == "agent.toml: brokers.main.url"
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "host", "port", "tls"),
    [
        ("mqtts://broker.example", "broker.example", 8883, True),
        ("mqtts://broker.example:443", "broker.example", 443, True),
        ("mqtt://127.0.0.1", "127.0.0.1", 1883, False),
        ("mqtt://[::1]:2000", "::1", 2000, False),
        ("mqtt://localhost:1", "localhost", 1, False),
    ],
)
def test_url_gives_host_port_and_encryption(url: str, host: str, port: int, tls: bool) -> None:
    """Ports default to the scheme's own."""
    broker = Broker(url=url, region="CN")
    assert (broker.host, broker.port, broker.tls, module._url(url)) == (host, port, tls, None)


def sections(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The way to each table with a declared set of keys."""
    found: list[tuple[str | int, ...]] = []
    if isinstance(value, dict):
        found += [] if path in (("brokers",), ("recipients",)) or "options" in path else [path]
        for key, item in value.items():
            found += sections(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += sections(item, (*path, index))
    return found


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(sections(whole())), key=st.text("abcdefgh_", min_size=12, max_size=14))
def test_unknown_key_anywhere_is_refused_with_file_and_key(place: tuple[str | int, ...], key: str, tmp_path: Path) -> None:
    """Whatever section gets a key that nobody declared, the file is refused by file and key."""
    raw = whole()
    put(*place, key, value=1)(raw)
    with pytest.raises(ConfigError) as caught:
        load_settings(write(raw, tmp_path))
    assert caught.value.where.startswith("agent.toml: ")
    assert caught.value.where.endswith(key)


def test_all_faults_are_found_at_once(tmp_path: Path) -> None:
    """Several faults give several findings."""
    raw = whole()
    raw["brokers"]["main"]["url"] = "nowhere"
    raw["recipients"]["traffic"]["broker"] = "other"
    report = Report()
    module.read_settings(write(raw, tmp_path), report)
    assert [finding.where for finding in report.findings] == ["agent.toml: brokers.main.url", "agent.toml: recipients.traffic.broker"]


def test_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    """A file that is not there has exit status 2."""
    with pytest.raises(ConfigError, match="cannot be read") as caught:
        load_settings(tmp_path / "none.toml")
    assert caught.value.exit_status == 2
