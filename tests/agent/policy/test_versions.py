"""agent.policy.versions: order, what a change touches, whose grants go on, texts."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.catalogue.types import Policy, PolicyText
from agent.errors import ConfigError, UsageError
from agent.policy import versions
from agent.policy.versions import Touched, effective, notice_hash, ordered, stands_since, text_of, touched

NAMES = ("a", "b", "c")


def policy(version: str, effective: object = date(2026, 11, 1), **changes: object) -> Policy:
    fields: dict[str, object] = {
        "purposes": ("a",),
        "categories": ("a",),
        "recipients": ("a",),
        "contact": "x",
        "text": PolicyText(en="policy.en.md"),
    }
    return Policy(version=version, effective=effective, **(fields | changes))  # type: ignore[arg-type]  # checked by the tests


def line(*policies: Policy) -> dict[str, Policy]:
    return {p.version: p for p in policies}


def nothing_is_major(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every change counts as a small one."""
    monkeypatch.setattr(versions, "touched", lambda old, new: Touched())


def everything_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every change takes all grants."""
    monkeypatch.setattr(versions, "touched", lambda old, new: Touched(everything=True))


def only_the_newest(monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest text is shown for every version."""
    monkeypatch.setattr(versions, "text_of", lambda policy, folder, language="en": max(folder.rglob("*.md")).read_text())


@pytest.mark.req("R36", control=nothing_is_major)
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"purposes": ("a", "b")}, Touched(purposes=frozenset("b"))),
        ({"categories": ("a", "b")}, Touched(categories=frozenset("b"))),
        ({"recipients": ("b",)}, Touched(recipients=frozenset("b"))),
        ({"contact": "y"}, Touched(everything=True)),
    ],
)
def test_major_change_is_computed(change: dict[str, object], expected: Touched) -> None:
    """An added purpose, category or recipient and another contact are found in the two versions, without anybody's flag."""
    found = versions.touched(policy("1"), policy("2", **change))
    assert found == expected
    assert found.major


def test_saying_less_is_not_major() -> None:
    """Leaving out, another text, another day: nothing new is asked."""
    old = policy("1", purposes=("a", "b"), recipients=("a", "b"))
    assert not touched(old, policy("2", date(2027, 1, 1), text=PolicyText(en="other.md"), contact=" x ")).major


@pytest.mark.req("R37", control=nothing_is_major)
@pytest.mark.req("R37", control=everything_stops)
def test_touched_grants_stop_and_others_go_on() -> None:
    """A new recipient ends what goes to it, and nothing else."""
    both = line(policy("1"), policy("2", date(2027, 1, 1), recipients=("a", "b")))
    assert not stands_since(both, "1", "2", "a", "a", "b")
    assert stands_since(both, "1", "2", "a", "a", "a")


def test_taken_away_and_added_again_has_to_be_granted_again() -> None:
    """Steps in between count, not only the two ends."""
    three = line(policy("1", purposes=("a", "b")), policy("2", date(2027, 1, 1)), policy("3", date(2027, 2, 1), purposes=("a", "b")))
    assert not stands_since(three, "1", "3", "b", "a", "a")
    assert stands_since(three, "1", "3", "a", "a", "a")
    assert stands_since(three, "3", "3", "b", "a", "a")


@pytest.mark.parametrize(("granted", "current"), [("0", "1"), ("1", "9"), ("2", "1")])
def test_unknown_and_older_versions_are_undecidable(granted: str, current: str) -> None:
    """A version nobody has, or one before the grant's own: no."""
    assert not stands_since(line(policy("1"), policy("2", date(2027, 1, 1))), granted, current, "a", "a", "a")


def test_same_version_stands_without_files() -> None:
    """A catalogue without policies counts as accepted: its only version is the empty one."""
    assert stands_since({}, "", "", "a", "a", "a")


@given(
    steps=st.lists(st.tuples(*[st.sets(st.sampled_from(NAMES))] * 3, st.sampled_from("xy")), min_size=2, max_size=5),
    stream=st.tuples(*[st.sampled_from(NAMES)] * 3),
)
def test_stands_only_through_untouched_steps(steps: list[tuple[set[str], set[str], set[str], str]], stream: tuple[str, str, str]) -> None:
    """Once a grant fell it never stands again under a later version; and it falls exactly where something of the stream is new."""
    made = line(
        *(
            policy(str(i), date(2027, 1, 1 + i), purposes=(*p,), categories=(*c,), recipients=(*r,), contact=k)
            for i, (p, c, r, k) in enumerate(steps)
        )
    )
    stood = True
    for i in range(1, len(steps)):
        old, new = steps[i - 1], steps[i]
        stood = stood and old[3] == new[3] and not any(name in new[part] and name not in old[part] for part, name in enumerate(stream))
        assert stands_since(made, "0", str(i), *stream) == stood


def test_order_is_by_day_then_name() -> None:
    """Names do not decide; equal days are settled by name."""
    some = line(policy("b", date(2026, 1, 1)), policy("a", date(2027, 1, 1)), policy("c", "2026-01-01"))
    assert ordered(some) == ["b", "c", "a"]


@pytest.mark.parametrize("value", [None, 20261101, "soon"])
def test_effective_that_is_no_date_is_refused(value: object) -> None:
    """With the file's name and an example."""
    with pytest.raises(ConfigError, match=r"policies/1/policy\.toml"):
        effective(policy("1", value))


@pytest.mark.req("R35", control=only_the_newest)
def test_every_version_keeps_its_text(tmp_path: Path) -> None:
    """Each version's own words, in the language asked for or English, with a digest that a ledger entry can name."""
    both = (policy("1", text=PolicyText(en="p.md", zh="p.zh.md")), policy("2"))
    for version, name, text in (("1", "p.md", "old"), ("1", "p.zh.md", "旧"), ("2", "policy.en.md", "new")):
        (tmp_path / version).mkdir(exist_ok=True)
        (tmp_path / version / name).write_text(text, encoding="utf-8")
    shown = [
        versions.text_of(both[0], tmp_path),
        versions.text_of(both[0], tmp_path, "zh"),
        versions.text_of(both[1], tmp_path, "zh"),
        versions.text_of(both[0], tmp_path, "__class__"),
    ]
    assert shown == ["old", "旧", "new", "old"]
    assert len({notice_hash(text) for text in shown}) == 3


@pytest.mark.parametrize("name", ["../1/p.md", "..", "/etc/hostname", "a/b"])
def test_text_outside_its_folder_is_refused(tmp_path: Path, name: str) -> None:
    """A policy file cannot make the agent show another file."""
    with pytest.raises(ConfigError):
        text_of(policy("1", text=PolicyText(en=name)), tmp_path)


def test_missing_text_is_named(tmp_path: Path) -> None:
    """With the version and the file."""
    with pytest.raises(UsageError, match=r"policies/1/policy\.en\.md"):
        text_of(policy("1"), tmp_path)
