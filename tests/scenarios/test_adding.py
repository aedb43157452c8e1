"""docs/adding.md on drives: its example is one, its tables are the types."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from msgspec import NODEFAULT, inspect

from hw.bench.refusal import allowed
from hw.bench.scenario import Condition, Scenario, load_scenario
from tests.sources import ROOT
from tests.support.virtual import play

SECTION = (ROOT / "docs/adding.md").read_text(encoding="utf-8").partition("## A drive of the bench\n")[2]
ROW = re.compile(r"^\| (`.+?) \| (.+?) \| (.+?) \| .*\|$", re.MULTILINE)


@pytest.fixture
def example(tmp_path: Path) -> Path:
    """The document's drive, copied into a file as a reader does."""
    block = re.search(r"^```toml\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
    assert block
    path = tmp_path / "my.toml"
    path.write_text(block[1], encoding="utf-8")
    return path


def test_the_example_has_one_of_everything_and_plays(example: Path) -> None:
    """Every list of a scenario is shown, another driver sits down, and what leaves on the way is right."""
    scenario = load_scenario(example)
    assert all((scenario.route, scenario.speed, scenario.changes, scenario.actions, scenario.drivers))
    assert {change.set_.get("driver") for change in scenario.changes} >= {scenario.drivers[0].name}
    played = play(str(example), scenario.seconds)
    assert played.faults() == []
    assert played.lines
    assert [note.rpartition(": ")[0] for note in played.run.notes if note.startswith("at ") and "takes the wheel" not in note] == [
        f"at {action.at_s:g} s: {action.do} {action.name}" for action in scenario.actions
    ]
    assert len([note for note in played.run.notes if "takes the wheel" in note]) == 1
    assert not [note for note in played.run.notes if "refused" in note]


def documented() -> dict[str, tuple[str, str]]:
    """Each key of the section's tables: what may be written, and the default."""
    found: dict[str, tuple[str, str]] = {}
    of_file, _, of_set = SECTION.partition("| condition |")
    for text, within in ((of_file, ""), (of_set, "change.set.")):
        for names, write, default in ROW.findall(text):
            keys, defaults = re.findall(r"`([^`]+)`", names), default.split(", ")
            assert len(defaults) in (1, len(keys))
            found |= {within + key: (write, defaults[-1 if len(defaults) == 1 else at]) for at, key in enumerate(keys)}
    return found


def fields_of(kind: inspect.Type) -> tuple[inspect.Field, ...]:
    return kind.fields if isinstance(kind, (inspect.StructType, inspect.DataclassType)) else ()


def shown(field: inspect.Field) -> tuple[str, str]:
    """As the document writes it."""
    default = field.default
    text = f"{default:g}" if isinstance(default, float) else f"`{default}`" if isinstance(default, str) else str(default).lower()
    return allowed(field.type), "required" if default is NODEFAULT else "none" if default in ((), None) else text


def test_every_key_stands_in_the_document_as_it_is() -> None:
    """With its range or its words and its default; and no key that there is not."""
    top = fields_of(inspect.type_info(Scenario))
    expected = {field.encode_name: shown(field) for field in top}
    expected |= {f"change.set.{field.encode_name}": shown(field) for field in fields_of(inspect.type_info(Condition))}
    for field in top:
        table = field.type.item_type if isinstance(field.type, inspect.VarTupleType) else field.type
        expected |= {f"{field.encode_name}.{one.encode_name}": shown(one) for one in fields_of(table)}
    assert expected.keys() >= {f"{name}.at_s" for name in ("speed", "change", "action")}
    assert documented() == expected
