"""agent.consent.ledger: granting, withdrawing, profiles, and what a crash or an attacker leaves."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.consent import ledger as module
from agent.consent import state
from agent.consent.ledger import Ledger
from agent.consent.state import stands
from agent.errors import IntegrityError, UsageError
from agent.storage.chain import Chain, Entry
from tests.agent.consent.device import DAY_MS, TERM_S, Device

ITEM = "traffic.position"


@pytest.fixture
def device() -> Iterator[Device]:
    with Device() as made:
        made.ledger.add_profile("anna")
        made.ledger.add_profile("ben")
        yield made


def standing(device: Device, trip: str | None = None) -> set[str]:
    grants = device.ledger.facts().grants.values()
    return {grant.ref for grant in grants if stands(grant, device.now_ms, device.clock.trusted(), trip)}


def deaf(monkeypatch: pytest.MonkeyPatch) -> None:
    """Withdrawing records nothing."""
    monkeypatch.setattr(Ledger, "withdraw", lambda self, profile, item: [])


def forgetful(monkeypatch: pytest.MonkeyPatch) -> None:
    """Withdrawing is recorded but does not say what has to be forgotten."""
    withdraw = Ledger.withdraw

    def silent(self: Ledger, profile: str, item: str) -> list[str]:
        withdraw(self, profile, item)
        return []

    monkeypatch.setattr(Ledger, "withdraw", silent)


def rewriting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Withdrawing wipes the table instead of adding to it."""

    def wipe(self: Ledger, profile: str, item: str) -> list[str]:
        self._chain._db.execute("UPDATE ledger SET entry = x'00' WHERE n = (SELECT MAX(n) FROM ledger)")
        return []

    monkeypatch.setattr(Ledger, "withdraw", wipe)


def for_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A grant is entered for every profile."""
    grant = Ledger.grant

    def spread(self: Ledger, profile: str, item: str, **words: object) -> object:
        for name in self.facts().profiles:
            result = grant(self, name, item, **words)  # type: ignore[arg-type]  # passed through as they came
        return result

    monkeypatch.setattr(Ledger, "grant", spread)


def all_adults(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asks how old a profile is."""
    add = Ledger.add_profile
    monkeypatch.setattr(Ledger, "add_profile", lambda self, name, kind="adult", guardian=None: add(self, name, "adult", guardian))


@pytest.mark.req("R29", control=deaf)
def test_grant_and_withdrawal_count_at_once(device: Device) -> None:
    """The facts after each call already say so; no restart, no waiting."""
    ref = device.yes()
    assert standing(device) == {ref}
    device.ledger.withdraw("anna", ITEM)
    assert standing(device) == set()
    assert device.ledger.facts().grants["anna", ITEM].state == "NOT_SET"


@pytest.mark.req("R30", control=forgetful)
def test_withdrawal_names_what_has_to_be_forgotten(device: Device) -> None:
    """The reference under which data are buffered is handed to whoever purges them."""
    ref = device.yes()
    assert device.ledger.withdraw("anna", ITEM) == [ref]


def test_withdrawing_asks_for_less_than_granting() -> None:
    """Fewer words are needed, and no method, policy, clock or end."""
    granting, withdrawing = (inspect.signature(call).parameters for call in (Ledger.grant, Ledger.withdraw))
    needed = [p for p in granting.values() if p.default is p.empty]
    assert len(withdrawing) < len(needed)
    assert set(withdrawing) == {"self", "profile", "item"}


def test_withdrawing_needs_no_trusted_clock(device: Device) -> None:
    """A device that lost its time still stops at once."""
    ref = device.yes()
    device.clock.believed = False
    assert device.ledger.withdraw("anna", ITEM) == [ref]
    assert standing(device) == set()


def test_withdrawing_what_was_never_granted_is_quiet(device: Device) -> None:
    """No reference, no entry and no error: also for a profile that does not exist, and the second time."""
    device.yes()
    device.ledger.withdraw("anna", ITEM)
    head = device.ledger.facts().head
    assert [device.ledger.withdraw(*w) for w in (("anna", ITEM), ("anna", "other"), ("nobody", ITEM))] == [[], [], []]
    assert device.ledger.facts().head == head


@pytest.mark.req("R31", control=rewriting)
def test_withdrawal_leaves_what_was_said_before(device: Device) -> None:
    """Earlier entries stay byte for byte, so what was sent under them stays explained."""
    ref = device.yes()
    before = device.sql("SELECT * FROM ledger")
    device.ledger.withdraw("anna", ITEM)
    assert device.sql("SELECT * FROM ledger")[: len(before)] == before
    [told] = [line for line in device.ledger.history() if f"ledger:{line['entry']}" == ref]
    assert (told["kind"], told["item"], told["state"], told["dpv"], told["profile"]) == ("grant", ITEM, "YES", "ConsentGiven", "anna")


@pytest.mark.req("R08", control=for_everybody)
def test_a_grant_counts_for_its_profile_and_item_only(device: Device) -> None:
    """Another driver, another item: nothing follows from it."""
    device.yes()
    assert set(device.ledger.facts().grants) == {("anna", ITEM)}


@given(st.lists(st.tuples(st.sampled_from(["anna", "ben"]), st.sampled_from(["a", "b", "c"]), st.booleans()), max_size=8))
@settings(max_examples=25)
def test_one_flag_changes_itself_only(said: list[tuple[str, str, bool]]) -> None:
    """Facts are what a plain dictionary of the last word on each (profile, item) says; a fresh reader agrees."""
    with Device() as device:
        device.ledger.add_profile("anna")
        device.ledger.add_profile("ben")
        expected: dict[tuple[str, str], str] = {}
        for profile, item, on in said:
            if on:
                device.yes(item, profile)
            else:
                device.ledger.withdraw(profile, item)
            if on or (profile, item) in expected:
                expected[profile, item] = "YES" if on else "NOT_SET"
            assert {key: grant.state for key, grant in device.ledger.facts().grants.items()} == expected
        assert device.again().facts() == device.ledger.facts()


def test_end_beyond_the_term_is_cut(device: Device) -> None:
    """The returned grant carries the end that counts."""
    end = device.now_ms + 40 * DAY_MS
    grant = device.ledger.grant("anna", ITEM, policy="p", method="touch", max_term_s=30 * 86_400, until_ms=end)
    assert grant.until_ms == device.now_ms + 30 * DAY_MS


def test_sensitive_item_ends_within_twelve_months(device: Device) -> None:
    """Whatever a catalogue allows; an item that is not sensitive keeps its own term."""
    end = device.now_ms + 900 * DAY_MS
    words = {"policy": "p", "method": "touch", "max_term_s": 800 * 86_400.0, "until_ms": end}
    assert device.ledger.grant("anna", "a", **words).until_ms == device.now_ms + 366 * DAY_MS  # type: ignore[arg-type]  # one dict for both
    assert device.ledger.grant("anna", "b", sensitive=False, **words).until_ms == device.now_ms + 800 * DAY_MS  # type: ignore[arg-type]


@pytest.mark.parametrize("words", [{}, {"until_ms": 2**50, "trip": "t"}, {"until_ms": 5}, {"trip": ""}, {"trip": "t", "state": "NOT_SET"}])
def test_grant_without_exactly_one_end_is_refused(device: Device, words: dict[str, object]) -> None:
    """No grant is for ever, none in the past, none with two ends; nothing is entered."""
    head = device.ledger.facts().head
    with pytest.raises(UsageError):
        device.ledger.grant("anna", ITEM, policy="p", method="touch", max_term_s=TERM_S, **words)  # type: ignore[arg-type]
    assert device.ledger.facts().head == head


def test_dated_grant_needs_a_trusted_clock_and_the_trip_does_not(device: Device) -> None:
    """An end that cannot be kept is refused with the way out; the trip is always possible."""
    device.clock.believed = False
    with pytest.raises(UsageError, match="--trip"):
        device.yes()
    assert device.ledger.grant("anna", ITEM, policy="p", method="touch", max_term_s=TERM_S, trip="t1").trip == "t1"
    assert standing(device, "t1")
    assert not standing(device, "t2")


def test_guest_and_strangers_hold_no_grant(device: Device) -> None:
    """Only a profile of the ledger can grant."""
    for name in ("guest", "nobody"):
        with pytest.raises(UsageError, match="no profile"):
            device.yes(profile=name)


@pytest.mark.req("R33", control=all_adults)
def test_minor_holds_no_sensitive_grant(device: Device) -> None:
    """Neither without a guardian nor with the mere text of one; an item that is not sensitive can be granted."""
    for name, guardian in (("kim", None), ("lee", "signed by my mother, honestly")):
        device.ledger.add_profile(name, "minor", guardian)
        assert device.ledger.facts().profiles[name].guardian is None
        with pytest.raises(UsageError, match="guardian"):
            device.yes(profile=name)
    words = {"policy": "p", "method": "touch", "max_term_s": TERM_S, "trip": "t"}
    assert device.ledger.grant("kim", "improvement.vehicle", sensitive=False, **words).state == "YES"  # type: ignore[arg-type]


def test_refusal_needs_no_end_and_stops(device: Device) -> None:
    """NO replaces a YES, and can be said without date, trip or trusted clock."""
    device.yes()
    device.clock.believed = False
    device.ledger.grant("anna", ITEM, policy="p", method="touch", max_term_s=TERM_S, state="NO")
    assert standing(device) == set()
    assert device.ledger.history()[-1]["dpv"] == "ConsentRefused"
    assert device.ledger.withdraw("anna", ITEM) == []
    assert device.ledger.facts().grants["anna", ITEM].state == "NOT_SET"


def test_renewal_is_told_from_a_first_grant(device: Device) -> None:
    """The data privacy vocabulary has a term for each; the older reference ends."""
    first, second = device.yes(), device.yes()
    assert [line["dpv"] for line in device.ledger.history()[-2:]] == ["ConsentGiven", "RenewedConsentGiven"]
    assert standing(device) == {second} != {first}


def test_removed_profile_is_unreadable_and_the_chain_holds(device: Device) -> None:
    """Its entries say only that they are erased; its references end; the other driver keeps theirs."""
    ref, other = device.yes(), device.yes(profile="ben")
    profile_id = bytes.fromhex(device.ledger.facts().profiles["anna"].id)
    assert device.ledger.remove_profile("anna") == [ref]
    assert device.keys.profile_key(profile_id) is None
    assert [line["kind"] for line in device.ledger.history()] == ["erased", "profile_add", "erased", "grant", "profile_remove"]
    assert standing(device) == {other}
    device.ledger.verify()


def test_name_of_a_removed_profile_inherits_nothing(device: Device) -> None:
    """A new driver of the same name starts without grants."""
    device.yes()
    device.ledger.remove_profile("anna")
    device.ledger.add_profile("anna")
    assert standing(device) == set()
    assert device.ledger.facts().grants == {}


def test_key_destroyed_elsewhere_counts_at_once(device: Device) -> None:
    """A handover that destroys profile keys leaves no grant in anybody's cache."""
    device.yes()
    device.keys.destroy_profile(bytes.fromhex(device.ledger.facts().profiles["anna"].id))
    assert standing(device) == set()
    assert set(device.ledger.facts().profiles) == {"ben"}


def test_crash_between_removal_and_key_is_made_up_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The entry says removed, the key still exists: the next start destroys it."""
    device = Device(tmp_path)
    device.ledger.add_profile("anna")
    profile_id = bytes.fromhex(device.ledger.facts().profiles["anna"].id)
    with monkeypatch.context() as crash:
        crash.setattr(device.keys, "destroy_profile", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            device.ledger.remove_profile("anna")
    with device.restarted() as device:
        assert device.keys.profile_key(profile_id) is not None
        assert device.ledger.facts().profiles == {}
        assert device.keys.profile_key(profile_id) is None
        device.ledger.verify()


def test_restart_reads_the_same_facts(tmp_path: Path) -> None:
    """Everything said is durable when the call returns."""
    device = Device(tmp_path)
    device.ledger.add_profile("anna")
    device.ledger.accept_policy("2026-11", "touch", notice=bytes(32), language="en")
    device.ledger.set_package("basic")
    device.ledger.set_service("information_online", on=False)
    device.ledger.use_profile("anna", "t1")
    device.yes()
    said = device.ledger.facts()
    with device.restarted() as device:
        assert device.ledger.facts() == said
    assert (said.policy, said.policy_entry, said.package, said.services_off) == ("2026-11", 2, "basic", frozenset({"information_online"}))
    assert said.confirmed == ("anna", "t1")


def test_rolled_back_words_do_not_count(device: Device) -> None:
    """What an outer transaction takes back is forgotten by the cache too, also when other entries take its numbers."""
    said = device.ledger.facts()

    def grants_and_crashes() -> None:
        with device.db.atomic():
            device.yes()
            assert standing(device)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        grants_and_crashes()
    assert device.ledger.facts() == said
    with pytest.raises(KeyboardInterrupt):
        grants_and_crashes()
    again = device.again()
    again.set_package("basic")
    again.set_service("x", on=False)
    assert device.ledger.facts() == again.facts()
    assert standing(device) == set()


def reads_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry that does not verify is read as if nobody had written it."""

    def entries(self: Chain, *arguments: Any, **options: Any) -> Iterator[Entry]:
        with contextlib.suppress(IntegrityError):
            yield from read(self, *arguments, **options)

    read = Chain.entries
    monkeypatch.setattr(Chain, "entries", entries)


@pytest.mark.req("R61", control=reads_on)
def test_nothing_stands_on_a_broken_chain(device: Device) -> None:
    """A changed ledger gives no facts, again and again; it is not read up to the break."""
    device.yes()
    device.sql("UPDATE ledger SET entry = x'00' WHERE n = 2")
    fresh = device.again()
    for _ in range(2):
        with pytest.raises(IntegrityError, match="entry 2 "):
            fresh.facts()


def test_error_while_reading_leaves_no_half_read_facts(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an interrupted replay the next one starts at the first entry."""
    device.yes()
    fresh, replay = device.again(), state.replay

    def interrupted(entries: Iterator[Entry], facts: object) -> object:
        next(iter(entries))
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "replay", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fresh.facts()
    monkeypatch.setattr(module, "replay", replay)
    assert fresh.facts() == device.ledger.facts()


def test_saying_the_same_again_adds_nothing(device: Device) -> None:
    """Package, switch and driver are entered when they change."""
    for _ in range(2):
        device.ledger.set_package("basic")
        device.ledger.set_service("a", on=False)
        device.ledger.use_profile("guest", "t1")
        head = device.ledger.facts().head
    assert head == 2 + 3
    device.ledger.set_package(None)
    assert device.ledger.facts().package is None
    assert device.ledger.facts().confirmed == ("guest", "t1")


def test_profiles_are_limited_and_their_names_too(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice the same name, the guest's, an unprintable one, one too many: refused, and no key is made."""
    monkeypatch.setattr(module, "PROFILES_MAX", 2)
    with pytest.raises(UsageError, match="remove one"):
        device.ledger.add_profile("kim")
    monkeypatch.undo()
    for name in ("anna", "guest", "", "a\nb", "x" * 201):
        with pytest.raises(UsageError):
            device.ledger.add_profile(name)
    assert set(device.ledger.facts().profiles) == {"anna", "ben"}


def test_subject_of_a_reference(device: Device) -> None:
    """Whose word a basis reference is, also after withdrawal; the device for everything else."""
    ref = device.yes()
    device.ledger.withdraw("anna", ITEM)
    device.ledger.accept_policy("p", "touch")
    assert device.ledger.subject_of(ref) == device.ledger.facts().profiles["anna"].id
    assert [device.ledger.subject_of(other) for other in ("ledger:5", "ledger:99", "ledger:x", "contract", "")] == [""] * 5


def test_notice_shown_is_on_record(device: Device) -> None:
    """A grant and an acknowledgement keep the digest of the text that was shown."""
    device.ledger.accept_policy("p", "touch", notice=b"\x01" * 32, language="zh")
    device.ledger.grant("anna", ITEM, policy="p", method="touch", max_term_s=TERM_S, trip="t", notice=b"\x02" * 32)
    assert [line["notice"] for line in device.ledger.history()[-2:]] == ["01" * 32, "02" * 32]
    assert device.ledger.history()[-2]["language"] == "zh"
