"""agent.consent.state: replay and what stands."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.consent import state
from agent.consent.state import APPLY, NOTHING, Facts, Grant, State, replay, stands
from agent.errors import IntegrityError
from agent.storage.chain import DEVICE, Entry

ANNA, BEN = bytes([1]) * 16, bytes([2]) * 16
DATED = Grant("item", "YES", "anna", 7, 100, 1_000, None, "p1")
FOR_TRIP = replace(DATED, until_ms=None, trip="t1")


def entry(n: int, subject: bytes, **body: Any) -> Entry:
    return Entry(n, bytes(32), subject, {"t_ms": 100 + n, "trusted": True, **body})


def words() -> st.SearchStrategy[tuple[bytes, dict[str, Any]]]:
    """An arbitrary entry of any kind, of one of two profiles or the device."""
    item = st.sampled_from(["a", "b"])
    grant = st.fixed_dictionaries(
        {"kind": st.just("grant"), "item": item, "state": st.sampled_from(["YES", "NO", "IN_VEHICLE"]), "policy": st.just("p1")},
        optional={"until_ms": st.integers(0, 10_000), "trip": st.just("t1")},
    )
    of_profile = st.one_of(
        grant,
        st.fixed_dictionaries({"kind": st.just("withdraw"), "item": item}),
        st.fixed_dictionaries({"kind": st.just("profile_use"), "trip": st.just("t1")}),
    )
    of_device = st.one_of(
        st.fixed_dictionaries({"kind": st.just("policy_accept"), "version": st.sampled_from(["p1", "p2"])}),
        st.fixed_dictionaries({"kind": st.just("entitlement")}, optional={"package": st.sampled_from(["basic"])}),
        st.fixed_dictionaries({"kind": st.just("service"), "service": item, "on": st.booleans()}),
        st.fixed_dictionaries({"kind": st.just("profile_remove"), "profile": st.sampled_from([ANNA.hex(), BEN.hex()])}),
    )
    added = st.sampled_from([(ANNA, "anna"), (BEN, "ben")]).map(lambda p: (p[0], {"kind": "profile_add", "name": p[1], "class": "adult"}))
    return st.one_of(st.tuples(st.sampled_from([ANNA, BEN]), of_profile), st.tuples(st.just(DEVICE), of_device), added)


def test_every_kind_of_the_format_is_replayed() -> None:
    """The table of kinds is that of docs/formats.md 5."""
    assert set(APPLY) == {"grant", "withdraw", "profile_add", "profile_use", "profile_remove", "policy_accept", "entitlement", "service"}


@given(st.lists(words(), max_size=25), st.lists(st.integers(0, 25), max_size=4))
def test_batching_does_not_matter(said: list[tuple[bytes, dict[str, Any]]], cuts: list[int]) -> None:
    """The same entries give the same facts, read at once or in any pieces."""
    entries = [entry(n, subject, **body) for n, (subject, body) in enumerate(said, 1)]
    facts, start = NOTHING, 0
    for end in [*sorted(cuts), len(entries)]:
        facts = replay(entries[start:end], facts)
        start = max(start, end)
    assert facts == replay(entries)


@given(st.lists(words(), max_size=25))
def test_grants_are_only_of_who_gave_them(said: list[tuple[bytes, dict[str, Any]]]) -> None:
    """Every grant in force was sealed under the key of the profile it counts for."""
    entries = [entry(n, subject, **body) for n, (subject, body) in enumerate(said, 1)]
    facts = replay(entries)
    for (name, item), grant in facts.grants.items():
        assert entries[grant.entry - 1].subject.hex() == facts.profiles[name].id
        assert (grant.profile, grant.item) == (name, item)


@given(st.lists(words(), max_size=25), st.sampled_from([ANNA, BEN]))
def test_erased_entries_say_nothing(said: list[tuple[bytes, dict[str, Any]]], erased: bytes) -> None:
    """Without the entries of one profile the facts of all others are what they were."""
    entries = [entry(n, subject, **body) for n, (subject, body) in enumerate(said, 1)]
    gone = [replace(e, body=None) if e.subject == erased else e for e in entries]
    facts, whole = replay(gone), replay(entries)
    assert {key: g for key, g in whole.grants.items() if whole.profiles[key[0]].id != erased.hex()} == facts.grants
    assert (facts.policy, facts.package, facts.services_off, facts.head) == (whole.policy, whole.package, whole.services_off, whole.head)


def endless(monkeypatch: pytest.MonkeyPatch) -> None:
    """An end is forgotten."""
    monkeypatch.setattr(state, "stands", lambda grant, now_ms, trusted, live_trip: True)


@pytest.mark.req("R26", control=endless)
def test_end_is_exact_to_the_millisecond() -> None:
    """A grant stands up to the last millisecond before its end and not at it."""
    assert state.stands(DATED, 999, trusted=True, live_trip=None)
    assert not state.stands(DATED, 1_000, trusted=True, live_trip=None)


def test_untrusted_clock_ends_no_grant() -> None:
    """An end that cannot be decided: what is buffered stays (that nothing new is taken is the plan's)."""
    assert stands(DATED, 5_000, trusted=False, live_trip=None)


@pytest.mark.parametrize("live", ["t2", None])
def test_trip_grant_stands_in_its_trip_only(live: str | None) -> None:
    """Whatever the clock says, another trip or none is the end of it."""
    assert stands(FOR_TRIP, 10**15, trusted=False, live_trip="t1")
    assert not stands(FOR_TRIP, 0, trusted=True, live_trip=live)


@pytest.mark.parametrize("said", ["NOT_SET", "NO", "IN_VEHICLE"])
def test_only_yes_lets_anything_leave(said: State) -> None:
    """W3C VISS: nothing but YES stands for data that leaves the vehicle."""
    assert not stands(replace(DATED, state=said), 0, trusted=True, live_trip=None)


def test_grant_without_end_or_trip_does_not_stand() -> None:
    """Undecidable means no."""
    assert not stands(replace(DATED, until_ms=None), 0, trusted=True, live_trip="t1")


def standing(facts: Facts) -> set[str]:
    return {grant.ref for grant in facts.grants.values() if stands(grant, 500, trusted=True, live_trip=None)}


def test_replaced_and_withdrawn_references_do_not_stand() -> None:
    """Only the latest word on an item has a standing reference."""
    said = [entry(1, ANNA, kind="profile_add", name="anna", **{"class": "adult"})]
    said += [entry(n, ANNA, kind="grant", item="a", state="YES", policy="p1", until_ms=1_000) for n in (2, 3)]
    assert standing(replay(said)) == {"ledger:3"}
    said.append(entry(4, ANNA, kind="withdraw", item="a"))
    assert standing(replay(said)) == set()


@pytest.mark.parametrize(
    "body", [{"kind": "grant", "item": "a"}, {"kind": "service", "service": "a", "on": "false"}, {"kind": "grant", "state": "MAYBE"}]
)
def test_sealed_nonsense_is_refused(body: dict[str, Any]) -> None:
    """An entry that lacks a field, or has one of another type, names itself."""
    said = [entry(1, ANNA, kind="profile_add", name="anna", **{"class": "adult"}), entry(2, ANNA, **body)]
    with pytest.raises(IntegrityError, match="entry 2 "):
        replay(said)


def test_facts_cannot_be_changed() -> None:
    """Facts are handed to the plan as they are; nobody grants by writing into them."""
    facts: Facts = replay([])
    with pytest.raises(TypeError):
        cast("dict[str, object]", facts.profiles)["x"] = None
