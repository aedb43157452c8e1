"""Reading a catalogue folder: what is refused, where it says so, and which folder it is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent import toml
from agent.catalogue.load import load_catalogue, policies_folder, read_catalogue, shipped_catalogue
from agent.errors import ConfigError, UsageError
from agent.folders import CONFIG_VARIABLE
from agent.toml import Report
from tests.agent.catalogue.trees import SMALL, Tree, findings, small, stream, write

EXTRA = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=9, max_size=12).map(lambda word: "x" + word)


def tables(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The way to each table with a declared set of keys."""
    found: list[tuple[str | int, ...]] = []
    if isinstance(value, dict):
        free = path and path[-1] in ("signals", "purposes", "items", "packages", "events")
        found += [] if free or "transforms" in path else [path]
        for key, item in value.items():
            found += tables(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += tables(item, (*path, index))
    return found


PLACES = [(name, path) for name, table in SMALL.items() for path in tables(table)]


def known_as_any(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sabotage: keys that no type declares are dropped in silence."""
    strict = toml._table
    monkeypatch.setattr(toml, "_table", lambda raw, wanted, at, report: strict(_declared(raw, wanted), wanted, at, report))


def _declared(raw: Any, wanted: Any) -> Any:
    names = set(wanted.__struct_encode_fields__)
    return {key: value for key, value in raw.items() if key in names} if isinstance(raw, dict) else raw


@pytest.mark.req("R01", control=known_as_any)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.sampled_from(PLACES), key=EXTRA)
def test_unknown_key_anywhere_is_refused_with_file_and_key(place: tuple[str, tuple[str | int, ...]], key: str, tmp_path: Path) -> None:
    """Whatever table gets a key that nobody declared, the file is refused and the finding names file and key."""
    name, path = place
    tree = small()
    at: Any = tree[name]
    for part in path:
        at = at[part]
    at[key] = 1
    found = [finding for finding in findings(tree, tmp_path) if finding.code == "unknown-key"]
    assert [finding.where.startswith(f"{name}: ") and finding.where.endswith(key) for finding in found] == [True]
    with pytest.raises(ConfigError, match=key):
        load_catalogue(tmp_path)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)), name=st.sampled_from(sorted(SMALL)))
def test_garbage_in_a_file_is_a_finding_and_never_a_traceback(text: bytes, name: str, tmp_path: Path) -> None:
    """Any bytes in any file give findings that name it, or are an empty or valid table; nothing else is raised."""
    write(small(), tmp_path)
    (tmp_path / name).write_bytes(b"= \x00" + text)
    report = Report()
    reading = read_catalogue(tmp_path, report)
    assert name in reading.broken
    assert any(finding.where.startswith(name) and finding.severity == "error" for finding in report.findings)


def test_syntax_error_names_the_line(tmp_path: Path) -> None:
    """A TOML error says file and line."""
    write(small(), tmp_path)
    (tmp_path / "consent.toml").write_text("[items.x]\ntitle = \n", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"consent\.toml, line 2"):
        load_catalogue(tmp_path)


def test_all_faults_are_found_at_once(tmp_path: Path) -> None:
    """Several files with several faults each give all their findings in one run."""
    tree = small()
    tree["signals.toml"]["signals"]["Vehicle.Speed"].pop("unit")
    tree["signals.toml"]["signals"]["Vehicle.TraveledDistance"]["category"] = "gossip"
    stream(tree).pop("keep")
    stream(tree).pop("basis")
    stream(tree, 1)["priority"] = 12
    where = {finding.where for finding in findings(tree, tmp_path)}
    assert where == {
        'signals.toml: signals."Vehicle.Speed".unit',
        'signals.toml: signals."Vehicle.TraveledDistance".category',
        "services/a.toml: stream[0].keep",
        "services/a.toml: stream[0].basis",
        "services/a.toml: stream[1].priority",
    }


def test_broken_file_does_not_make_others_wrong(tmp_path: Path) -> None:
    """When signals.toml cannot be read, streams are not blamed for signals that it may well declare."""
    tree = small()
    tree["signals.toml"] = {"signals": 3}
    assert [finding.where for finding in findings(tree, tmp_path)] == ["signals.toml: signals"]


def test_load_says_how_many_more(tmp_path: Path) -> None:
    """An agent that cannot start names the first error and says that there are others."""
    tree = small()
    stream(tree).pop("keep")
    stream(tree).pop("basis")
    with pytest.raises(ConfigError, match="1 more, see modicum check"):
        load_catalogue(write(tree, tmp_path))


@pytest.mark.parametrize("number", ["inf", "-inf", "nan"])
def test_number_that_is_none_is_refused(number: str, tmp_path: Path) -> None:
    """TOML's inf and nan are no periods."""
    write(small(), tmp_path)
    path = tmp_path / "services/a.toml"
    path.write_text(path.read_text(encoding="utf-8").replace('"every_s" = 30', f'"every_s" = {number}'), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"stream\[0\]\.every_s"):
        load_catalogue(tmp_path)


def test_huge_file_is_refused_unread(tmp_path: Path) -> None:
    """A file of more than 1 MiB is no catalogue."""
    write(small(), tmp_path)
    (tmp_path / "events.toml").write_bytes(b"#" * (toml.SIZE_MAX + 1))
    with pytest.raises(ConfigError, match="larger than"):
        load_catalogue(tmp_path)


def test_deep_nesting_is_refused(tmp_path: Path) -> None:
    """Brackets without end are an error in the file, not the end of the program."""
    write(small(), tmp_path)
    (tmp_path / "events.toml").write_text("events = " + "[" * 20_000, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"events\.toml"):
        load_catalogue(tmp_path)


@pytest.mark.parametrize("name", ["signals.toml", "purposes.toml", "consent.toml", "packages.toml"])
def test_missing_file_is_named(name: str, tmp_path: Path) -> None:
    """A catalogue without one of its four tables is refused by that file's name."""
    tree = small()
    del tree[name]
    with pytest.raises(ConfigError, match=name.replace(".", r"\.")):
        load_catalogue(write(tree, tmp_path))


def test_events_and_policies_may_be_absent(tmp_path: Path) -> None:
    """A catalogue without events and policies is whole."""
    tree: Tree = small()
    del tree["events.toml"]
    del tree["policies/2026-11/policy.toml"]
    stream(tree)["triggers"] = ["periodic"]
    loaded = load_catalogue(write(tree, tmp_path))
    assert (loaded.events, loaded.policies) == ({}, {})


def test_misspelt_file_is_said_to_be_unread(tmp_path: Path) -> None:
    """event.toml beside events.toml is not passed over in silence."""
    write(small(), tmp_path)
    (tmp_path / "event.toml").write_text("", encoding="utf-8")
    report = Report()
    read_catalogue(tmp_path, report)
    assert [(finding.code, finding.where) for finding in report.findings] == [("not-read", "event.toml")]


def test_folder_that_is_no_catalogue(tmp_path: Path) -> None:
    """An empty folder is a wrong argument, not a catalogue with findings."""
    with pytest.raises(UsageError, match="no catalogue"):
        load_catalogue(tmp_path)


def test_named_folder_stands_alone(tmp_path: Path) -> None:
    """A catalogue somewhere else never takes the policies that lie beside it."""
    shutil.copytree(shipped_catalogue().parent, tmp_path / "config", ignore=shutil.ignore_patterns("vehicles"))
    assert not policies_folder(tmp_path / "config/catalogue").exists()
    assert load_catalogue(tmp_path / "config/catalogue").policies == {}


def test_shipped_catalogue_takes_the_policies_beside_it() -> None:
    """The shipped layout has its policies in config/policies."""
    assert list(load_catalogue(shipped_catalogue()).policies) == ["2026-11"]


def test_config_folder_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MODICUM_CONFIG_DIR moves the shipped files; an empty folder there is said to be one."""
    shutil.copytree(shipped_catalogue().parent, tmp_path / "config")
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path / "config"))
    assert shipped_catalogue() == tmp_path / "config/catalogue"
    assert list(load_catalogue(shipped_catalogue()).policies) == ["2026-11"]
    monkeypatch.setenv(CONFIG_VARIABLE, str(tmp_path))
    with pytest.raises(UsageError, match="no config folder"):
        shipped_catalogue()
