"""What `--consent` says, and what becomes of it in the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.catalogue.load import load_catalogue
from agent.catalogue.types import Catalogue
from agent.consent import choice
from agent.consent.choice import DRIVER, UNVERSIONED, Choice, GrantEntry, apply_choice, read_choice
from agent.errors import ConfigError, UsageError
from tests.agent.catalogue.trees import write
from tests.agent.consent.device import Device
from tests.agent.core.stage import ITEMS, POLICY, TREE


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    return load_catalogue(write(TREE, tmp_path / "catalogue"))


@pytest.fixture
def device() -> Any:
    with Device() as made:
        yield made


def file(tmp_path: Path, text: str) -> str:
    path = tmp_path / "grants.toml"
    path.write_text(text)
    return str(path)


def test_the_three_words() -> None:
    """all: every item; none: accepted, no item; unaccepted: nothing."""
    assert read_choice("all") == Choice(True, None)
    assert read_choice("none") == Choice(True, {})
    assert read_choice("unaccepted") == Choice(False, {})


def test_a_file_accepts_the_policy_and_grants_what_it_says(tmp_path: Path, catalogue: Catalogue, device: Device) -> None:
    """YES with and without an end, and NO; what is not named is not set."""
    said = [
        '"x.speed" = { state = "YES", until = 2026-12-01T00:00:00Z }',
        '"x.place" = { state = "NO" }',
        '"x.trimmed" = { state = "YES" }',
    ]
    notes = apply_choice(read_choice(file(tmp_path, "\n".join(["[grants]", *said]))), device.ledger, catalogue, device.now_ms)
    facts = device.ledger.facts()
    assert (notes, facts.policy, set(facts.profiles)) == ([], POLICY, {DRIVER})
    states = {item: grant.state for (_, item), grant in facts.grants.items()}
    assert states == {"x.speed": "YES", "x.place": "NO", "x.trimmed": "YES"}
    assert facts.grants[DRIVER, "x.speed"].until_ms == 1_796_083_200_000
    assert facts.grants[DRIVER, "x.trimmed"].until_ms == device.now_ms + 365 * 86_400_000


def accepts_whatever_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A choice to accept nothing counts as one for everything."""
    monkeypatch.setattr(choice, "read_choice", lambda text: Choice(True, None))


@pytest.mark.req("R22", control=accepts_whatever_was_said)
def test_unaccepted_writes_neither_policy_nor_grant(catalogue: Catalogue, device: Device) -> None:
    """Only the driver is known."""
    apply_choice(choice.read_choice("unaccepted"), device.ledger, catalogue, device.now_ms)
    assert device.ledger.facts().policy is None
    assert not device.ledger.facts().grants


def test_all_grants_every_item_to_its_longest_term(catalogue: Catalogue, device: Device) -> None:
    """Each with an end."""
    apply_choice(read_choice("all"), device.ledger, catalogue, device.now_ms)
    grants = device.ledger.facts().grants
    assert {item for _, item in grants} == set(ITEMS)
    assert all(grant.until_ms is not None and grant.policy == POLICY for grant in grants.values())


def test_an_end_beyond_the_longest_term_is_cut_with_a_note(tmp_path: Path, catalogue: Catalogue, device: Device) -> None:
    """A date without a zone counts as UTC."""
    notes = apply_choice(
        read_choice(file(tmp_path, '[grants]\n"x.speed" = { state = "YES", until = 2099-01-01T00:00:00 }\n')),
        device.ledger,
        catalogue,
        device.now_ms,
    )
    assert notes == ["x.speed: the end was cut to the longest term, 365d"]
    assert device.ledger.facts().grants[DRIVER, "x.speed"].until_ms == device.now_ms + 365 * 86_400_000


def test_an_end_before_the_run_is_written_as_it_is_and_said(tmp_path: Path, catalogue: Catalogue, device: Device) -> None:
    """Not an error: the log may be younger than the file. The plan then says that it has expired."""
    notes = apply_choice(
        read_choice(file(tmp_path, '[grants]\n"x.speed" = { state = "YES", until = 2020-01-01T00:00:00Z }\n')),
        device.ledger,
        catalogue,
        device.now_ms,
    )
    assert len(notes) == 1
    assert notes[0].startswith("x.speed: its end has passed")
    assert device.ledger.facts().grants[DRIVER, "x.speed"].until_ms == 1_577_836_800_000


def test_a_catalogue_without_policies_counts_as_accepted(tmp_path: Path, device: Device) -> None:
    """Under a version that says that there is none."""
    bare = load_catalogue(write({name: table for name, table in TREE.items() if not name.startswith("policies")}, tmp_path / "bare"))
    apply_choice(read_choice("all"), device.ledger, bare, device.now_ms)
    assert device.ledger.facts().policy == UNVERSIONED


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "[grants]\nx = 5\n",
        '[grants]\n"x.speed" = { state = "MAYBE" }\n',
        '[grants]\n"x.speed" = { state = true }\n',
        '[grants]\n"x.speed" = { until = 2027-01-01 }\n',
        '[grants]\n"x.speed" = { state = "YES", until = "soon" }\n',
        '[grants]\n"x.speed" = { state = "YES", util = 2027-01-01T00:00:00Z }\n',
        "[grant]\n",
        "\x00",
    ],
)
def test_a_file_that_is_none_of_ours(tmp_path: Path, text: str) -> None:
    """One line with the file's name and what to write."""
    name = file(tmp_path, text)
    with pytest.raises(ConfigError) as caught:
        read_choice(name)
    assert name in str(caught.value)
    assert "[grants]" in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Also a folder, a word that is none of the three, and a name that no file system takes."""
    for name in (str(tmp_path / "absent.toml"), str(tmp_path), "ALL", "x" * 5000):
        with pytest.raises(UsageError):
            read_choice(name)


def test_an_unknown_item_is_refused_with_those_that_there_are(catalogue: Catalogue, device: Device) -> None:
    """A grant for nothing is a mistake of the file."""
    with pytest.raises(ConfigError, match=r"x\.place"):
        apply_choice(Choice(True, {"x.other": GrantEntry(state="YES")}), device.ledger, catalogue, device.now_ms)
