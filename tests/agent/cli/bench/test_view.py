"""agent.cli.bench.view: one screen that fits, and from which a stranger learns what left and what did not."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from agent.cli.bench.fitting import Size
from agent.cli.bench.view import Known, screen
from tests.support.known import ONLINE, known, ran, withdrawn

SMALL, LARGE = Size(80, 24), Size(140, 40)
PROBE = "How traffic flows around you"
CUT: dict[str, Any] = {"link_is_cut": True, "status": {"buffer": {"lane": {"rows": 3}}, "lanes": {"id:main": {"online": False}}}}
STATES: dict[str, Callable[[], Known]] = {
    "the first moment": lambda: known(1.0, status={}, live={}, consent=[]),
    "before a place left": lambda: known(20.0),
    "places left": known,
    "nothing granted": lambda: known(granted=False),
    "a guest": lambda: known(granted=False, live={"indicator": "on", "profile": "guest"}),
    "withdrawn": lambda: known(run=withdrawn(ran(75.0))),
    "the link is cut": lambda: known(**CUT),
    "a long word of the agent's": lambda: known(said="at 3.2 s: grant traffic.position: modicum: " + "a guest grants nothing " * 9),
}


def rows(shown: Known, size: Size, *, unicode: bool = True) -> list[str]:
    return screen(shown, size, unicode=unicode).plain.split("\n")


def text(shown: Known, size: Size = LARGE) -> str:
    return "\n".join(rows(shown, size))


@pytest.mark.parametrize("size", [SMALL, LARGE, Size(81, 25), Size(300, 90), Size(60, 16), Size(40, 10), Size(9, 3), Size(1, 1)])
@pytest.mark.parametrize("state", STATES)
def test_a_screen_fits_exactly(state: str, size: Size) -> None:
    """So many rows, each so wide, whatever is known; smaller than usual is no error."""
    shown = rows(STATES[state](), size)
    assert len(shown) == size.rows
    assert {cell_len(row) for row in shown} == {size.columns}


@pytest.mark.parametrize("state", STATES)
def test_a_terminal_without_unicode_gets_ascii(state: str) -> None:
    """Also the picture, and at the same width."""
    shown = rows(STATES[state](), SMALL, unicode=False)
    assert "".join(shown).isascii()
    assert {len(row) for row in shown} == {80}


def test_a_title_cannot_move_the_cursor_or_widen_a_row() -> None:
    """Whoever wrote the scenario."""
    shown = rows(known(title="a\x1b[2Jb\nc 北京"), SMALL, unicode=False)
    assert len(shown) == 24
    assert "".join(shown).isprintable()
    assert {len(row) for row in shown} == {80}


def test_the_way_from_the_bus_to_the_broker_is_five_numbers() -> None:
    """With what each counts."""
    numbers, labels = rows(known(), SMALL)[2:4]
    assert numbers.replace("→", " ").split() == ["46,372", "528", "24", "0", "3"]
    assert [word for word in ("frames on bus", "taken", "samples", "buffered", "sent") if word not in labels] == []


def test_at_the_beginning_it_is_said_how_another_terminal_reaches_the_agent() -> None:
    """Also at 80 columns, where the last row has no room for it."""
    assert "Another terminal can ask: --config agent.toml" in text(known(5.0), SMALL)
    assert "--config" not in text(known(20.0), SMALL)
    assert "agent: --config agent.toml" in text(known(20.0))


def test_before_a_place_left_the_silence_is_explained() -> None:
    """How far it goes, by the plan."""
    shown = text(known(20.0), SMALL)
    assert "No place has left yet: of the first 500 m of a trip nothing is told without being asked." in " ".join(shown.split())
    assert "No place has left the car." in shown


def test_the_sentence_about_places_is_that_of_what_left() -> None:
    """Not that of what one stream may tell: also where somebody asked for the place before, and after a withdrawal."""
    squares = known()
    assert "Of the place a square is all that was told" in text(squares, SMALL)
    rules: dict[tuple[str, str], list[Mapping[str, Any]]] = {
        key: [{**rule, "transforms": []} for rule in its] for key, its in squares.run.chronicle.left.items()
    }
    run = replace(squares.run, chronicle=replace(squares.run.chronicle, left=rules))
    for indicator in ("position", "on"):
        live: dict[str, Any] = {"indicator": indicator, "profile": "driver", "last_sent": {}}
        shown = text(replace(squares, run=run, live=live), SMALL)
        assert "1 exact place and 0 squares were told" in shown
        assert "No place" not in shown.replace("No places", "")


def test_after_a_crash_it_is_said_how_far_the_call_is() -> None:
    """Who pressed the key waits for it."""
    assert "The car crashed at 0:39: the centre does not know of it yet" in text(known(crash_s=39.0), SMALL)
    assert "The car crashed at 0:39: at 39.5 s: cleared down" in text(known(crash_s=39.0, call="at 39.5 s: cleared down"), SMALL)


def test_a_place_that_the_emergency_centre_was_told_is_not_called_none() -> None:
    """Where nobody else was told one."""
    shown = text(known(run=replace(ran(60.0), lines=[]), crash_s=39.0, call="at 39.5 s: cleared down", place_told=True), LARGE)
    assert "To the emergency centre alone." in shown
    assert "No place has left" not in shown


def test_the_keys_fit_a_terminal_of_80_columns() -> None:
    """All of them, whatever the link does."""
    for shown in (known(), known(**CUT)):
        assert rows(shown, SMALL)[-1].rstrip().endswith(" q  end")


def test_what_left_is_told_with_recipient_identity_and_last_values() -> None:
    """Wide: the newest values too; the squares are counted."""
    shown = text(known())
    row = shown[shown.index(PROBE) :]
    assert "values to traffic, without any identity" in row
    assert "speed 80 km/h" in row
    assert "1 square of 200 m" in shown
    assert "values to traffic, without any identity" in text(known(), SMALL)


def test_what_is_withheld_is_told_with_its_reason_and_what_does_not_fit_is_counted() -> None:
    """Without grants the position streams are among it."""
    shown = known(granted=False)
    assert PROBE in text(shown).partition("nobody has granted it, or no valid order asks for it:")[2]
    assert "No place has left the car." in text(shown)
    assert "nobody has granted it" in text(shown, SMALL)
    hidden = re.search(r"and (\d+) more ", text(shown, SMALL))
    assert hidden is not None
    assert text(shown, SMALL).count("✗") + int(hidden[1]) == text(shown).count("✗") > 10


def test_what_was_withdrawn_is_seen_in_the_small_terminal_too() -> None:
    """Whatever else there is to tell."""
    for size in (SMALL, Size(80, 18)):
        after = text(known(run=withdrawn(ran(75.0))), size).partition("withdrawn during the run:")[2]
        assert "A slippery road" in after


def test_what_is_granted_is_shown_with_its_item() -> None:
    """The one that is picked; picking goes round."""
    shown = known()
    names = [row["item"] for row in shown.consent]
    assert f"2/8 {names[1]}: granted for this trip" in text(replace(shown, picked=1), SMALL)
    assert f"1/8 {names[0]}: " in text(replace(shown, picked=8), SMALL)
    assert "not granted" in text(known(granted=False), SMALL)


def test_a_cut_link_is_told_with_what_waits() -> None:
    """And how to restore it; when it is back the agent's own attempts are told."""
    shown = text(known(**CUT), SMALL)
    assert "link: CUT" in shown
    assert "The link is cut: 3 sealed messages in the car until it is restored." in shown
    assert " l  restore link" in shown
    back = known(status={"lanes": {"id:main": {"online": False}}})
    assert "link: down" in text(back, SMALL)
    assert "the agent tries to connect again by itself" in text(back, SMALL)
    assert "link: up" in text(known(status={"lanes": ONLINE}), SMALL)


def test_what_a_key_did_takes_the_place_of_the_hint() -> None:
    """In the agent's own words, in two rows where it needs them."""
    said = "at 5.2 s: grant traffic.position: modicum: a guest grants nothing (traffic.position): say who drives first"
    shown = rows(known(said=said), SMALL)
    assert " ".join("".join(shown[-4:-2]).split()) == said


def test_the_last_row_says_what_the_keys_do() -> None:
    """All six at 80 columns; without a keyboard how to end."""
    last = rows(known(), SMALL)[-1]
    assert [key for key in ("Tab", "g  grant", "w  withdraw", "l  cut the link", "c  crash the car", "q  end") if key not in last] == []
    assert "Ctrl-C" in rows(known(keys=False), SMALL)[-1]


def test_without_colour_the_same_is_said() -> None:
    """What is printed with NO_COLOR is the same text, with no colour in it."""
    out = io.StringIO()
    Console(file=out, force_terminal=True, no_color=True, width=80, height=24).print(screen(known(), SMALL, unicode=True), end="")
    assert PROBE in out.getvalue()
    assert ";3" not in out.getvalue()
    assert "\x1b[3" not in out.getvalue()
