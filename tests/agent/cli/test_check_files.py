"""`modicum check --config` looks into the files that agent.toml names, not only at whether they are there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.cli.check_files import check_files
from agent.settings import Settings, load_settings
from agent.toml import FileFinding, Report
from hw.bench.authority import Authority

CONFIG = """
[vehicle]
platform = "bench"
vin_file = "vin"
[regions]
allowed = ["CN"]
[brokers.main]
url = "mqtts://broker.example"
region = "CN"
ca = "ca.pem"
cert = "device.pem"
key = "device.key"
[recipients.traffic]
broker = "main"
key = "traffic.pub"
region = "CN"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Of a device whose files are all there and right."""
    Authority(tmp_path).issue("device")
    (tmp_path / "traffic.pub").write_bytes(b"\x09" + bytes(31))
    (tmp_path / "vin").write_text("WMWTESTCAR0000001\n", encoding="ascii")
    (tmp_path / "agent.toml").write_text(CONFIG, encoding="utf-8")
    return load_settings(tmp_path / "agent.toml")


def found(settings: Settings) -> list[FileFinding]:
    report = Report()
    check_files(settings, "agent.toml", report)
    return report.findings


def test_files_that_are_right_are_not_told(settings: Settings) -> None:
    """Nothing to correct, nothing to look at."""
    assert found(settings) == []


@pytest.mark.parametrize(
    ("name", "fault", "code", "severity", "key"),
    [
        ("vin", Path.unlink, "no-file", "warning", "vehicle.vin_file"),
        ("traffic.pub", Path.unlink, "no-file", "warning", "recipients.traffic.key"),
        ("traffic.pub", lambda path: path.write_bytes(bytes(32)), "file", "error", "recipients.traffic.key"),
        ("traffic.pub", lambda path: path.write_text("-----BEGIN NOTHING-----"), "file", "error", "recipients.traffic.key"),
        ("ca.pem", lambda path: path.write_text("nothing"), "certificate-unreadable", "error", "brokers.main.ca"),
        ("device.pem", lambda path: path.write_text("nothing"), "certificate-unreadable", "error", "brokers.main.cert"),
        ("device.pem", Path.unlink, "no-file", "warning", "brokers.main.cert"),
        ("device.key", lambda path: path.write_text("nothing"), "certificate-unreadable", "error", "brokers.main.cert"),
    ],
)
def test_what_is_wrong_is_told_by_its_key(
    settings: Settings, tmp_path: Path, name: str, fault: Callable[[Path], object], code: str, severity: str, key: str
) -> None:
    """One finding for each: what is missing is a warning, what is there and of no use an error."""
    fault(tmp_path / name)
    assert [(one.code, one.severity, one.where) for one in found(settings)] == [(code, severity, f"agent.toml: {key}")]


def test_a_file_that_holds_no_vin_is_told_without_what_it_holds(settings: Settings, tmp_path: Path) -> None:
    """The file, the form that is wanted in it, and no VIN."""
    (tmp_path / "vin").write_text("WMWTESTCARO000001", encoding="ascii")
    (told,) = found(settings)
    assert (told.code, told.severity, told.where) == ("file", "error", "agent.toml: vehicle.vin_file")
    assert "WMW" not in str(told)


def test_a_key_of_another_certificate_is_told(settings: Settings, tmp_path: Path) -> None:
    """It is a key, and readable, and the broker would refuse it."""
    Authority(tmp_path / "other").issue("device")
    (tmp_path / "other/device.key").replace(tmp_path / "device.key")
    assert [one.code for one in found(settings)] == ["certificate-key"]


def test_what_may_not_be_read_was_not_looked_at(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither missing nor wrong: a technician sees no private key, nor what is in its folder."""
    opened = Path.open

    def refused(path: Path, mode: str = "r", **more: Any) -> object:
        if path.name.startswith("device"):
            raise PermissionError(13, "Permission denied")
        return opened(path, mode, **more)

    monkeypatch.setattr(Path, "open", refused)
    assert {(one.code, one.severity) for one in found(settings)} == {("not-allowed", "warning")}
    assert [one.where for one in found(settings)] == ["agent.toml: brokers.main.cert", "agent.toml: brokers.main.key"]
