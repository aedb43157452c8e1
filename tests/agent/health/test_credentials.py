"""Certificates and keys as agent.toml names them, from files that were really issued."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec
import pytest

from agent.health.checks import examined
from agent.health.credentials import certificates, issued_files, own_files, readable_by_others
from agent.health.device import certificate
from agent.health.facts import CertificateFacts, ClockFacts
from agent.sections import Broker, Keys, Regions, State, VehicleSection
from agent.settings import Settings
from hw.bench.authority import Authority, Credential
from tests.agent.health.build import changed

HOUR = dt.timedelta(hours=1)


def settings(folder: Path, authority: Authority, car: Credential, **more: Path | None) -> Settings:
    broker = Broker(url="mqtts://localhost:8883", region="CN", ca=authority.ca, cert=car.cert, key=car.key)
    return Settings(
        vehicle=VehicleSection(platform="bench"),
        regions=Regions(allowed=("CN",)),
        brokers={"main": msgspec.structs.replace(broker, **more)},
        state=State(dir=folder),
        keys=Keys(provider="file"),
    )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def own(facts: list[CertificateFacts]) -> CertificateFacts:
    return next(one for one in facts if one.what == "the certificate for broker main")


def codes(facts: list[CertificateFacts]) -> list[str]:
    clock = ClockFacts(host_s=dt.datetime.now(dt.UTC).timestamp(), trusted=True)
    results = examined(changed(certificates=tuple(facts), clock=clock))
    return [finding.code for result in results for finding in result.findings]


def test_a_good_pair_and_its_authority(tmp_path: Path, authority: Authority) -> None:
    """Both are looked at, and nothing is wrong."""
    facts = certificates(settings(tmp_path, authority, authority.issue("car")))
    assert [one.what for one in facts] == ["the authority of broker main", "the certificate for broker main"]
    assert own(facts).matches is True
    assert codes(facts) == []


@pytest.mark.finding("certificate-key")
def test_a_key_of_another_certificate(tmp_path: Path, authority: Authority) -> None:
    """TLS would only say that something does not fit."""
    car, other = authority.issue("car"), authority.issue("other")
    assert codes(certificates(settings(tmp_path, authority, car, key=other.key))) == ["certificate-key"]


@pytest.mark.finding("certificate-expired")
def test_one_that_has_ended(tmp_path: Path, authority: Authority) -> None:
    """An hour ago."""
    assert codes(certificates(settings(tmp_path, authority, authority.issue("car", ends=-HOUR)))) == ["certificate-expired"]


@pytest.mark.finding("certificate-early")
def test_one_that_has_not_begun(tmp_path: Path, authority: Authority) -> None:
    """It begins in an hour."""
    assert codes(certificates(settings(tmp_path, authority, authority.issue("car", begins=HOUR)))) == ["certificate-early"]


@pytest.mark.finding("certificate-ends")
def test_one_that_ends_soon(tmp_path: Path, authority: Authority) -> None:
    """Within two weeks there is time for a new one."""
    assert codes(certificates(settings(tmp_path, authority, authority.issue("car", ends=13 * 24 * HOUR)))) == ["certificate-ends"]


@pytest.mark.finding("certificate-unreadable")
@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"])
def test_one_that_cannot_be_read(tmp_path: Path, authority: Authority, content: bytes | None) -> None:
    """Not there, empty, or no certificate."""
    car, path = authority.issue("car"), tmp_path / "none.pem"
    if content is not None:
        path.write_bytes(content)
    assert codes(certificates(settings(tmp_path, authority, car, cert=path))) == ["certificate-unreadable"]


@pytest.mark.finding("certificate-unreadable")
def test_one_whose_key_is_gone(tmp_path: Path, authority: Authority) -> None:
    """Without it the certificate shows nothing."""
    car = authority.issue("car")
    car.key.unlink()
    assert codes(certificates(settings(tmp_path, authority, car))) == ["certificate-unreadable"]


def test_a_key_that_this_user_may_not_read_is_no_fault(tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it should be; whether it fits is then not known."""
    car = authority.issue("car")
    read = Path.read_bytes

    def guarded(path: Path) -> bytes:
        if path == car.key:
            raise PermissionError(13, "Permission denied")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", guarded)
    facts = certificates(settings(tmp_path, authority, car))
    assert (own(facts).matches, codes(facts)) == (None, [])


def test_a_certificate_that_this_user_may_not_read_is_no_fault(
    tmp_path: Path, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That nobody could look is told, and nothing is found."""

    def guarded(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", guarded)
    facts = certificates(settings(tmp_path, authority, authority.issue("car")))
    assert codes(facts) == []
    result = certificate(own(facts), ClockFacts(host_s=0.0))
    assert (result.known, result.says) == (False, "not looked at: this user may not look; root may")


def test_without_tls_there_is_nothing_to_look_at(tmp_path: Path, authority: Authority) -> None:
    """A broker on this machine itself."""
    made = settings(tmp_path, authority, authority.issue("car"))
    plain = msgspec.structs.replace(made.brokers["main"], url="mqtt://localhost:1883")
    assert certificates(msgspec.structs.replace(made, brokers={"main": plain})) == []


def test_files_that_others_can_read_are_named(tmp_path: Path, authority: Authority) -> None:
    """The owner and a group of the agent's may; the world may not. What is not there is nobody's."""
    car = authority.issue("car")
    made = settings(tmp_path, authority, car)
    for name in ("credential", "keys.block"):
        (tmp_path / name).write_bytes(b"x")
        (tmp_path / name).chmod(0o640)
    car.key.chmod(0o640)
    assert readable_by_others(own_files(made)) == ()
    for name in ("credential", "keys.block"):
        (tmp_path / name).chmod(0o604)
        assert readable_by_others(own_files(made)) == (str(tmp_path / name),)
        (tmp_path / name).chmod(0o600)
    assert readable_by_others(issued_files(made)) == ()
    car.key.chmod(0o644)
    assert readable_by_others(issued_files(made)) == (str(car.key),)
