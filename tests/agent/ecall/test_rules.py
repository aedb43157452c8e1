"""agent.ecall.rules: [crash] of a vehicle file against its DBC files; what cannot be used is said, and the rest is used."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.ecall.crc import CHECKSUMS
from agent.ecall.rules import rules_of
from agent.errors import ConfigError
from agent.model import Finding
from agent.vehicle import load_vehicle
from tests.support.truth import VEHICLE

HEAD = """
[vehicle]
title = "t"
[buses.pt]
dbc = ["bench.dbc"]
"""
GOOD = '[[crash.frame]]\nbus = "pt"\nid = 0x1FE\nwhen = "DEPLOY == 1"\n'


def found(folder: Path, crash: str) -> tuple[int, int, list[Finding]]:
    (folder / "bench.dbc").write_bytes((VEHICLE / "bench.dbc").read_bytes())
    (folder / "vehicle.toml").write_text(HEAD + crash)
    frames, signs, findings = rules_of(load_vehicle(folder))
    return len(frames), len(signs), findings


def test_the_shipped_vehicle_has_one_frame_and_one_sign() -> None:
    """With its counter, its checksum and three conditions that inhibit."""
    frames, signs, findings = rules_of(load_vehicle(VEHICLE))
    (frame,), (sign,) = frames, signs
    assert (frame.bus, frame.can_id, frame.counter, len(frame.inhibit), findings) == ("pt", 0x1FE, ("CNT", 16), 3, [])
    assert (sign.message.name, sign.when.text) == ("BELT", "BELT.TENSIONER == 1")


def test_a_vehicle_without_the_section_has_no_trigger(tmp_path: Path) -> None:
    """And nothing is said of it."""
    assert found(tmp_path, "") == (0, 0, [])


@pytest.mark.finding("crash-unusable")
@pytest.mark.parametrize(
    ("crash", "says"),
    [
        ('[[crash.frame]]\nbus = "pt"\nid = 0x123\nwhen = "DEPLOY == 1"\n', "no DBC file of bus pt has this message"),
        ('[[crash.frame]]\nbus = "body"\nid = 0x1FE\nwhen = "DEPLOY == 1"\n', "no DBC file of bus body has this message"),
        ('[[crash.frame]]\nbus = "pt"\nid = 0x1FE\nwhen = "DEPLOYED == 1"\n', "CRASH has no signal DEPLOYED"),
        ('[[crash.frame]]\nbus = "pt"\nid = 0x1FE\nwhen = "DEPLOY = 1"\n', "cannot be read"),
        (GOOD + 'inhibit = ["DIAGNOSIS == 1"]\n', "CRASH has no signal DIAGNOSIS"),
        (GOOD + 'counter = { signal = "COUNT", modulo = 16 }\n', "CRASH has no signal COUNT"),
        (GOOD + 'crc = { signal = "SUM", kind = "sae-j1850", covers = [1, 7] }\n', "CRASH has no signal SUM"),
        ('[[crash.sign]]\nbus = "pt"\nwhen = "BELT.PULLED == 1"\n', "no message of bus pt has all its signals"),
        ('[[crash.sign]]\nbus = "pt"\nwhen = "BELT.TENSIONER == 1 and DOORS.OPEN_FL == 1"\n', "no message of bus pt has all its signals"),
        ('[[crash.sign]]\nbus = "pt"\nwhen = "TENSIONER ==="\n', "cannot be read"),
    ],
)
def test_what_cannot_be_used_is_a_finding_and_the_rest_is_used(tmp_path: Path, crash: str, says: str) -> None:
    """With what to do about it."""
    frames, signs, findings = found(tmp_path, crash + GOOD + '[[crash.sign]]\nbus = "pt"\nwhen = "BELT.TENSIONER == 1"\n')
    assert (frames, signs) == (1, 1)
    (finding,) = findings
    assert (finding.code, finding.severity) == ("crash-unusable", "error")
    assert says in finding.text
    assert finding.hint


@pytest.mark.parametrize(
    "crash",
    [
        GOOD + 'counter = { signal = "CNT", modulo = 1 }\n',
        GOOD + 'crc = { signal = "CRC", kind = "crc-32", covers = [1, 7] }\n',
        GOOD + 'crc = { signal = "CRC", kind = "sae-j1850", covers = [1] }\n',
        GOOD + 'counter = { signal = "CNT" }\n',
    ],
)
def test_a_section_of_another_form_is_refused(tmp_path: Path, crash: str) -> None:
    """By the file's own check."""
    with pytest.raises(ConfigError, match="not a vehicle file"):
        found(tmp_path, crash)


@pytest.mark.parametrize(("kind", "expected"), [("sae-j1850", 0x4B), ("autosar-8h2f", 0xDF)])
def test_checksums_have_their_published_check_values(kind: str, expected: int) -> None:
    """Of the digits one to nine."""
    assert CHECKSUMS[kind](b"123456789") == expected
