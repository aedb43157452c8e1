"""What differs between makers: every entry can be used, and each word of a call's progress is known."""

from __future__ import annotations

import pytest

from hw.modem.exchange import Exchange
from hw.modem.profiles import PROFILES, Call, Progress, calls_in, profiles_of, progress_in

BY_NAME = {profile.name: profile for profile in PROFILES}


@pytest.mark.parametrize("name", BY_NAME)
def test_every_command_of_a_profile_is_one(name: str) -> None:
    """A row of the table with a slip in it fails here, not in the car."""
    profile = BY_NAME[name]
    for command in (*profile.gnss_on, *profile.positions, *profile.reports, profile.hang_up):
        assert Exchange(print).begin(command) == command.encode() + b"\r"
    assert profile.positions


@pytest.mark.parametrize(
    ("maker", "names"),
    [(b"Quectel", ["quectel"]), (b"SIMCOM INCORPORATED", ["simcom"]), (b"SIMCOM_Ltd", ["simcom"]), (b"", list(BY_NAME))],
)
def test_the_maker_is_known_by_its_own_name(maker: bytes, names: list[str]) -> None:
    """Any case; of a stranger every profile is tried."""
    assert [profile.name for profile in profiles_of(maker)] == names


@pytest.mark.parametrize(
    ("name", "line", "progress"),
    [
        ("simcom", b"VOICE CALL: BEGIN", "up"),
        ("simcom", b"VOICE CALL: END: 000211", "over"),
        ("simcom", b'+CLCC: 1,0,3,0,0,"10086",129', "alerting"),
        ("simcom", b'+CLCC: 1,1,6,0,0,"10086",129', "over"),
        ("quectel", b"^DSCI: 1,0,2,0,10086,129", "dialling"),
        ("quectel", b"^DSCI: 1,0,7,0,10086,129", "alerting"),
        ("quectel", b"^DSCI: 1,0,3,0,10086,129", "up"),
        ("quectel", b"^DSCI: 1,0,6,0,10086,129", "over"),
        ("quectel", b'+CLCC: 1,0,0,0,0,"10086",129', "up"),
        ("quectel", b"RING", "ringing"),
        ("quectel", b"BUSY", "busy"),
        ("simcom", b"NO ANSWER", "unanswered"),
        ("simcom", b"NO CARRIER", "over"),
        ("simcom", b"^DSCI: 1,0,3,0,10086,129", None),
        ("quectel", b"^DSCI: 1,0", None),
        ("quectel", b"^DSCI: 1,0,x,0", None),
        ("quectel", b'+CREG: 1,"2A4F"', None),
    ],
)
def test_each_line_tells_the_progress_that_it_means(name: str, line: bytes, progress: Progress | None) -> None:
    """The same number means different things in +CLCC and ^DSCI."""
    assert progress_in(BY_NAME[name], line) == progress


@pytest.mark.parametrize(
    ("lines", "calls"),
    [
        ((), []),
        ((b'+CLCC: 1,0,3,0,0,"10086",129', b"+CLCC: 2, 1, 5, 0, 0"), [Call(False, "alerting"), Call(True, "ringing")]),
        ((b'+CLCC: 1,0,0,1,0,"",128', b"+CLCC: 2,1,0,0,0", b"+CLCC: 3,1,4,2,0"), [Call(True, "up")]),
        ((b"+CLCC: 1,0,6,0,0", b"+CLCC: 2,0,1"), [Call(False, "held")]),
        ((b"+CLCC: 1,0,0,0,0", b"+CLCC: 1,0"), None),
        ((b"+CLCC: 1,x,0,0,0",), None),
    ],
)
def test_the_calls_that_are_listed_are_those_of_voice(lines: tuple[bytes, ...], calls: list[Call] | None) -> None:
    """No data, no fax, none that is over; what cannot be read says nothing, which is not that there is none."""
    assert calls_in(lines) == calls
