"""agent.ecall.switch: the owner's word, where it is the owner's."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.ecall.switch import Mode, Switch
from agent.errors import DeviceError, UsageError


@pytest.mark.parametrize(
    ("mode", "content", "on"),
    [
        ("third_party", None, True),
        ("third_party", b"off\n", False),
        ("third_party", b"on", True),
        ("third_party", b"\xff\xfe", True),
        ("regulated", b"off", True),
        ("absent", None, False),
    ],
)
def test_it_is_honoured_where_it_is_the_owners(tmp_path: Path, mode: Mode, content: bytes | None, *, on: bool) -> None:
    """What cannot be read is no "off"; the call that the law asks for has no switch."""
    if content is not None:
        (tmp_path / "switch").write_bytes(content)
    assert Switch(tmp_path / "switch", mode).on is on


def test_what_was_set_is_what_the_next_run_reads(tmp_path: Path) -> None:
    """Also in a folder that is not there yet."""
    switch = Switch(tmp_path / "state" / "switch", "third_party")
    for on in (False, True, False):
        switch.set(on=on)
        assert Switch(tmp_path / "state" / "switch", "third_party").on is on


@pytest.mark.parametrize("mode", ["regulated", "absent"])
def test_where_there_is_nothing_to_switch_it_says_so(tmp_path: Path, mode: Mode) -> None:
    """And leaves no file."""
    with pytest.raises(UsageError, match="nothing to switch"):
        Switch(tmp_path / "switch", mode).set(on=False)
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_kept_is_an_error_and_no_change(tmp_path: Path) -> None:
    """The owner must not believe in an "off" that the next start forgets."""
    (tmp_path / "state").write_text("in the way")
    switch = Switch(tmp_path / "state" / "switch", "third_party")
    with pytest.raises(DeviceError, match="cannot be kept"):
        switch.set(on=False)
    assert switch.on
