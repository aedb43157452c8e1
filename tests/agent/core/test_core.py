"""What core keeps and what it forgets when something about its permission changes."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from agent.buffer.store import Buffer
from agent.collect.trip import TRIP_GAP_S, Trip
from agent.collect.window import Windows
from agent.consent.ledger import Ledger
from agent.core.core import Core
from agent.errors import DeviceError, IntegrityError
from agent.plan import compile as compile_module
from agent.plan import standing as standing_module
from hw.ports import Fix, Silence
from tests.agent.catalogue.trees import Tree
from tests.agent.core.stage import EXTRA, MINUTE, PLACE, POLICY, SPEED, TREE, WEAR, Stage


def keeps_ram(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Windows, "drop", lambda self, live: None)
    monkeypatch.setattr(Core, "_keep_in_ram", lambda self, live: None)


def keeps_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Core, "_forget", lambda self: None)


def never_decides_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Core, "_due", lambda self, now_ns: False)
    monkeypatch.setattr(Core, "_after", lambda self, before: None)


# -- the start --------------------------------------------------------------------------------------------------------


def accepts_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile_module, "CHECKS", tuple(check for check in compile_module.CHECKS if check is not compile_module.in_policy))


@pytest.mark.req("R22", "T01", control=accepts_anything)
def test_before_the_policy_is_accepted_nothing_is_collected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cold boot with a package and without a word from the driver: no rule, no record, no subscription but the ignition."""
    monkeypatch.setattr("agent.consent.ledger.Ledger.accept_policy", lambda *a, **k: None)
    with Stage(tmp_path) as stage:
        stage.ignition(on=True)
        stage.drive(5)
        assert (stage.live(), stage.stored()) == (set(), {})
        assert [one.can_id for one in stage.core.wanted()] == [0x130]


def test_only_the_wanted_identifiers_are_subscribed(stage: Stage) -> None:
    """What no live rule needs is not asked of the bus, and a grant changes that at once."""
    assert {one.can_id for one in stage.subscribed[-1]} == {0x130, 0x330}
    stage.trip_of("anna", "x.speed")
    assert {one.can_id for one in stage.subscribed[-1]} == {0x130, 0x330, 0xA5}


def test_a_grant_counts_for_its_profile_only(stage: Stage) -> None:
    """The next driver has granted nothing."""
    stage.trip_of("anna", "x.speed")
    assert SPEED in stage.live()
    stage.trip_of("bob")
    assert SPEED not in stage.live()


# -- the end of a grant ------------------------------------------------------------------------------------------------


@pytest.mark.req("R26", "T07", control=never_decides_again)
def test_a_grant_ends_at_its_very_millisecond(stage: Stage) -> None:
    """One millisecond before its end it stands; at its end the rule, the rows and their keys are gone."""
    stage.trip_of("anna", "x.speed", until_s=10)
    stage.drive(5)
    stage.wait(4.999)
    assert SPEED in stage.live()
    assert SPEED in stage.stored()
    stage.wait(0.001)
    assert SPEED not in stage.live()
    assert SPEED not in stage.stored()
    assert SPEED not in stage.key_streams()
    assert WEAR in stage.stored()


def only_this_drivers_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.core.core.next_end_ms", lambda grants, now_ms: None)


@pytest.mark.req("R26", control=only_this_drivers_ends)
def test_a_grant_ends_also_while_somebody_else_drives(stage: Stage) -> None:
    """What was buffered under anna's grant does not outlive it because bob sits in the car."""
    stage.trip_of("anna", "x.speed", until_s=10)
    stage.drive(3)
    stage.trip_of("bob")
    assert SPEED in stage.stored()
    stage.wait(6.9)
    assert SPEED in stage.stored()
    stage.wait(0.2)
    assert SPEED not in stage.stored()
    assert SPEED not in stage.key_streams()


def park(stage: Stage, seconds: float = TRIP_GAP_S + 1) -> None:
    stage.ignition(on=False)
    stage.wait(seconds)


@pytest.mark.req("R26", control=never_decides_again)
def test_a_grant_for_a_trip_ends_with_the_trip(stage: Stage) -> None:
    """A short stop is the same trip; three minutes end it, and what was buffered under it goes."""
    stage.trip_of("anna")
    stage.grant("anna", "x.speed", trip=True)
    stage.drive(3)
    trip = stage.core.trip.id
    park(stage, TRIP_GAP_S - 10)
    assert stage.core.trip.id == trip
    assert SPEED in stage.stored()
    stage.wait(20)
    assert stage.core.trip.id is None
    assert SPEED not in stage.live()
    assert SPEED not in stage.stored()


@pytest.mark.parametrize("news", ["fix", "silence"])
def test_a_trip_that_ends_while_a_device_speaks_ends_its_grants(stage: Stage, news: str) -> None:
    """The first thing that happens after three minutes is a fix or a silent bus, and not the tick: the decision is made all the same."""
    stage.trip_of("anna")
    stage.grant("anna", "x.speed", trip=True)
    stage.drive(3)
    stage.ignition(on=False)
    stage.clock.set(stage.clock.now_ns() + (TRIP_GAP_S + 2) * 1_000_000_000)
    now_ns = stage.clock.now_ns()
    if news == "fix":
        stage.core.fix(Fix(now_ns))
    else:
        stage.core.silence(Silence("pt", 0xA5, now_ns))
    assert stage.core.trip.id is None
    assert SPEED not in stage.live()
    assert SPEED not in stage.stored()


def test_rows_of_a_driver_outlive_the_trip(stage: Stage) -> None:
    """After the trip nobody drives: nothing new is collected, and what anna allowed still goes to its recipient."""
    stage.trip_of("anna", "x.speed")
    stage.drive(3)
    park(stage)
    assert stage.core.profile == "guest"
    assert SPEED not in stage.live()
    before = stage.stored()[SPEED]
    assert before >= 3
    stage.ignition(on=True)
    stage.drive(3)
    assert stage.stored()[SPEED] == before


def test_a_restart_within_the_trip_goes_on_with_driver_and_grants(stage: Stage) -> None:
    """Trip, confirmed profile and grants are where they were."""
    stage.trip_of("anna", "x.speed")
    stage.drive(2)
    trip = stage.core.trip.id
    with stage.again() as after:
        assert (after.core.trip.id, after.core.profile) == (trip, "anna")
        assert SPEED in after.live()


# -- the ignition ------------------------------------------------------------------------------------------------------


def drives_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trip, "allows", lambda self, while_: True)
    ignite = Trip.ignite
    monkeypatch.setattr(Trip, "ignite", lambda self, on, t_ns: ignite(self, True, t_ns))


@pytest.mark.req("T06", control=keeps_rows)
def test_with_the_ignition_off_no_position_is_kept(stage: Stage) -> None:
    """The frame that says off is enough: position rows and their keys are gone, others stay, and no new one comes."""
    stage.trip_of("anna", "x.place", "x.speed")
    stage.drive(3)
    stage.ignition(on=False)
    assert PLACE not in stage.stored()
    assert PLACE not in stage.key_streams()
    assert SPEED in stage.stored()


@pytest.mark.req("T06", control=drives_always)
def test_with_the_ignition_off_no_position_is_taken(tmp_path: Path) -> None:
    """A receiver that goes on speaking in the parked car gives nothing."""
    tree = copy.deepcopy(TREE)
    next(one for one in tree["services/a.toml"]["stream"] if one["id"] == "place")["while"] = "driving"
    with Stage(tmp_path, tree=tree) as stage:
        stage.trip_of("anna", "x.place")
        stage.ignition(on=False)
        for _ in range(5):
            stage.fix()
            stage.wait(1)
        assert PLACE not in stage.stored()


# -- package, service, policy, profile ---------------------------------------------------------------------------------


def keeps_structural(monkeypatch: pytest.MonkeyPatch) -> None:
    refusal = compile_module._refusal
    monkeypatch.setattr(compile_module, "_refusal", lambda candidate, reason, lasting: refusal(candidate, reason, lasting=False))


@pytest.mark.req("R06", "T02", control=keeps_structural)
def test_a_downgrade_of_the_package_purges_what_it_no_longer_contains(stage: Stage) -> None:
    """Service b leaves the package: its rule, rows and keys go at once, service a's stay."""
    stage.trip_of("anna")
    stage.drive(3)
    stage.ledger.set_package("one")
    stage.wait(0.05)
    assert EXTRA not in stage.live() | stage.key_streams() | set(stage.stored())
    assert WEAR in stage.live() & stage.key_streams() & set(stage.stored())


@pytest.mark.req("R08", control=keeps_structural)
def test_a_service_that_is_switched_off_stops_and_leaves_the_others(stage: Stage) -> None:
    """Its rows go; the other service does not notice; switched on again it starts empty."""
    stage.trip_of("anna")
    stage.drive(3)
    others = stage.stored()[WEAR]
    stage.ledger.set_service("b", on=False)
    stage.wait(0.05)
    assert EXTRA not in stage.live() | set(stage.stored())
    assert stage.stored()[WEAR] == others
    stage.ledger.set_service("b", on=True)
    stage.wait(0.05)
    assert EXTRA in stage.live()
    assert EXTRA not in stage.stored()


def with_next_policy(**changes: Any) -> Tree:
    tree = copy.deepcopy(TREE)
    second = copy.deepcopy(tree[f"policies/{POLICY}/policy.toml"]) | {"version": "2027-01"} | changes
    first = tree.pop(f"policies/{POLICY}/policy.toml")
    return tree | {f"policies/{POLICY}/policy.toml": first, "policies/2027-01/policy.toml": second}


def stage_with(folder: Path, tree: Tree) -> Stage:
    (folder / "catalogue/policies/2027-01").mkdir(parents=True)
    (folder / "catalogue/policies/2027-01/policy.en.md").write_text("What is sent now.\n")
    return Stage(folder, tree=tree)


def nothing_is_major(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compile_module, "stands_since", lambda *a: True)
    monkeypatch.setattr(standing_module, "stands_since", lambda *a: True)


@pytest.mark.req("R36", "R37", "T19", control=nothing_is_major)
@pytest.mark.parametrize("driving", ["anna", "bob"])
def test_a_major_change_of_the_policy_ends_grants_given_under_the_old_one(tmp_path: Path, driving: str) -> None:
    """Another contact touches everything: consented rules and rows go until granted anew, whoever drives; contracts go on."""
    with stage_with(tmp_path, with_next_policy(contact="somebody else")) as stage:
        stage.trip_of("anna", "x.speed")
        stage.drive(3)
        stage.trip_of(driving)
        stage.ledger.accept_policy("2027-01", "test")
        stage.wait(0.05)
        assert SPEED not in stage.live() | set(stage.stored())
        assert WEAR in stage.live() & set(stage.stored())
        stage.trip_of("anna")
        stage.grant("anna", "x.speed", policy="2027-01")
        stage.wait(0.05)
        assert SPEED in stage.live()


def test_a_minor_change_of_the_policy_leaves_grants(tmp_path: Path) -> None:
    """A version that says the same under another name touches nothing."""
    with stage_with(tmp_path, with_next_policy()) as stage:
        stage.trip_of("anna", "x.speed")
        stage.drive(3)
        before = stage.stored()[SPEED]
        stage.ledger.accept_policy("2027-01", "test")
        stage.wait(0.05)
        assert SPEED in stage.live()
        assert stage.stored()[SPEED] == before


def everybody_is_adult(monkeypatch: pytest.MonkeyPatch) -> None:
    add = Ledger.add_profile
    monkeypatch.setattr(Ledger, "add_profile", lambda self, name, kind="adult", guardian=None: add(self, name, "adult", guardian))


@pytest.mark.req("R33", "T26", control=everybody_is_adult)
def test_a_minor_has_no_sensitive_stream(stage: Stage) -> None:
    """Without a guardian's reference a minor's position is not even grantable; insensitive items are."""
    stage.ledger.add_profile("kim", "minor")
    stage.trip_of("kim", "x.speed")
    with pytest.raises(Exception, match="guardian"):
        stage.grant("kim", "x.place")
    stage.drive(2)
    assert SPEED in stage.stored()
    assert PLACE not in stage.live() | set(stage.stored())


def test_a_removed_profile_takes_its_rows_with_it(stage: Stage) -> None:
    """The profile's grants stand no more, so what was buffered under them goes at the next step."""
    stage.trip_of("anna", "x.speed")
    stage.drive(3)
    stage.ledger.remove_profile("anna")
    stage.wait(0.05)
    assert stage.core.profile == "guest"
    assert SPEED not in stage.live() | stage.key_streams() | set(stage.stored())


# -- the clock ---------------------------------------------------------------------------------------------------------


def believes_any_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.clock.SetClock.trusted", lambda self: True)


@pytest.mark.req("R26", "T07", control=believes_any_clock)
def test_a_clock_that_nobody_vouches_for_admits_nothing_dated(stage: Stage) -> None:
    """Dated grants wait for a believed time; trip grants and contracts go on; what is buffered stays."""
    stage.trip_of("anna", "x.speed")
    stage.drive(3)
    before = stage.stored()[SPEED]
    stage.clock.believed = False
    stage.wait(0.05)
    assert SPEED not in stage.live()
    assert {WEAR, EXTRA} <= stage.live()
    assert stage.stored()[SPEED] == before
    stage.clock.believed = True
    stage.wait(0.05)
    assert SPEED in stage.live()


@pytest.mark.req("R26", control=lambda patch: patch.setattr(Buffer, "expire", lambda self, now_ms: []))
@pytest.mark.parametrize("believed", [True, False])
def test_rows_die_with_their_keep_whatever_the_clock_is_worth(stage: Stage, believed: bool) -> None:
    """An hour after its last sample a stream kept for an hour has neither rows nor keys: boot time passed for sure."""
    stage.trip_of("anna", "x.speed")
    stage.drive(3)
    stage.clock.believed = believed
    stage.core.silence(Silence("pt", 0xA5, stage.clock.now_ns()))
    stage.wait(3600)
    assert SPEED not in set(stage.stored()) | stage.key_streams()
    assert WEAR in stage.stored()


# -- what is only in RAM -----------------------------------------------------------------------------------------------


@pytest.mark.req("R30", control=keeps_ram)
def test_samples_in_ram_of_a_rule_that_went_are_dropped(stage: Stage) -> None:
    """A window of a minute had begun: when its grant goes, its samples never become a record."""
    stage.trip_of("anna", "x.speed")
    stage.drive(5)
    assert MINUTE not in stage.stored()
    stage.ledger.withdraw("anna", "x.speed")
    stage.core.decide()
    assert not stage.core.pipeline.windows.open
    stage.core.silence(Silence("pt", 0xA5, stage.clock.now_ns()))
    stage.wait(61)
    assert MINUTE not in stage.stored()


@pytest.mark.finding("buffer-not-written")
def test_drafts_that_the_disk_did_not_take_obey_a_withdrawal(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk keeps drafts in RAM; a withdrawal reaches them there."""
    stage.trip_of("anna", "x.speed")
    monkeypatch.setattr(Buffer, "append", full)
    stage.drive(3)
    assert {draft.samples[0].rule.name for draft in stage.core.unsaved} == {SPEED, WEAR, EXTRA}
    assert stage.core.trouble is not None
    stage.ledger.withdraw("anna", "x.speed")
    stage.core.decide()
    monkeypatch.undo()
    stage.wait(0.05)
    assert set(stage.stored()) == {WEAR, EXTRA}
    assert stage.core.trouble is None


def full(*_: object) -> list[int]:
    raise DeviceError("the disk is full")


def test_a_record_that_does_not_open_costs_only_itself(stage: Stage) -> None:
    """A row whose bytes were changed is counted and left out; the others are offered."""
    stage.trip_of("anna", "x.speed")
    stage.drive(3)
    with stage.rows_db.atomic():
        stage.rows_db.execute("UPDATE records SET sealed = zeroblob(100) WHERE n = 1")
    [broken] = [stored for stored in stage.buffer.waiting(100, set()) if stored.n == 1]
    with pytest.raises(IntegrityError):
        stage.buffer.body_of(broken)
    stage.connect()
    assert len(stage.deliver_all()) == sum(stage.stored().values()) + len(stage.offers)
    assert stage.stored() == {}
