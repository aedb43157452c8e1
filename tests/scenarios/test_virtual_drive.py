"""Whole drives on the virtual clock against the oracle: everything that is due arrives, nothing else does, and it is true."""

from __future__ import annotations

from collections import Counter

import pytest

from agent.buffer.store import Stored
from agent.cli.bench.virtual import START_NS
from agent.collect.transforms import TRANSFORMS
from agent.consent.choice import DRIVER, Choice, GrantEntry
from agent.control.routes import ROUTES
from agent.core.core import Core
from agent.core.virtual import VirtualRun
from agent.envelope import open_envelope
from agent.errors import IntegrityError
from agent.model import Draft, Rule, Sample
from agent.plan import compile as compiler
from hw.bench.scenario import VIN
from tests.support.markers import Planted, scan
from tests.support.moments import Item, items_of
from tests.support.truth import NS
from tests.support.virtual import NONE, SCENARIOS, UNACCEPTED, Played, play, play_with

CATALOGUE = SCENARIOS / "catalogue"
PLACES = ("Latitude", "Longitude", "CurrentLocation")
SHORT_S = 66.0
"""As long as the fast outing needs to have said a bit of everything."""


def unrounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRANSFORMS, "round_to", lambda value, *_: value)


def off_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TRANSFORMS, "grid_m", lambda value, *_: value)


def untrimmed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.collect.trip.Trip.may_speak", lambda *_: True)


def _without(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(compiler, "CHECKS", tuple(check for check in compiler.CHECKS if check.__name__ != name))


def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    def stands(*_: object) -> None:
        return None

    checks = tuple(stands if check.__name__ == "basis_stands" else check for check in compiler.CHECKS)
    monkeypatch.setattr(compiler, "CHECKS", checks)


def unpaid(monkeypatch: pytest.MonkeyPatch) -> None:
    _without(monkeypatch, "entitled")


def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    _without(monkeypatch, "in_policy")


def one_key_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.core.virtual.VirtualRun._secret", lambda *_: bytes(range(32)))


def unlogged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.audit.Audit.disclosed", lambda *_: None)


def unheard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.consent.ledger.Ledger.withdraw", lambda *_: [])


def named_topics(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agent.core.deliver.Delivery.topic_of", lambda _, stored: f"modicum/v1/{VIN}/{stored.stream.replace('.', '/')}")


@pytest.fixture(scope="module")
def outing() -> Played:
    return play("outing", SHORT_S)


@pytest.mark.req("R24", control=unrounded)
@pytest.mark.req("R39", control=off_grid)
@pytest.mark.req("T11", control=untrimmed)
def test_a_drive_gives_exactly_what_the_truth_and_the_catalogue_give(outing: Played) -> None:
    """With every consent: each sample true, in form and in time; none missing, none besides."""
    assert outing.faults() == []
    streams = Counter(sample.stream for sample in outing.oracle.expected if sample.certain)
    assert streams["real_time_traffic.hazard"] >= 2
    assert streams["real_time_traffic.probe"] >= 3
    assert streams["teleservices.service_report"] >= 10


@pytest.mark.parametrize("seed", [2, 3])
def test_the_shipped_drive_holds_for_other_seeds(seed: int) -> None:
    """Other speeds, another secret grid."""
    assert play("drive", 121, seed=seed).faults() == []


def test_jam_tunnel_short_stop_weak_battery_and_a_second_trip_hold() -> None:
    """The same over two trips: too early, too soon, without a fix, standing, parked, beside the places where trips ended."""
    played = play("town", 560)
    assert played.faults() == []
    streams = Counter(sample.stream for sample in played.oracle.expected if sample.certain)
    assert streams["teleservices.battery_guard"] == 1
    assert streams["teleservices.service_report"] >= 20


def test_transforms_and_triggers_of_another_catalogue_hold() -> None:
    """Windows, means, extremes, buckets, bounds, changes, distances, while parked: as the interfaces define them."""
    played = play("town", 290, package="basic", catalogue=CATALOGUE)
    assert played.faults() == []
    certain = Counter(sample.stream for sample in played.oracle.expected if sample.certain)
    assert certain.total() > 1000
    assert certain["mixed.around"] >= 20


def test_a_choice_of_items_gives_what_was_chosen() -> None:
    """A consent file with one item granted and one refused."""
    choice = Choice(True, {"mixed.place": GrantEntry(state="YES"), "steady.share": GrantEntry(state="NO")})
    played = play("outing", 30, package="basic", choice=choice, catalogue=CATALOGUE)
    assert played.faults() == []
    assert {line["stream"] for line in played.lines} >= {"place", "pairwise"}
    assert not {line["stream"] for line in played.lines} & {"granted", "refused"}


@pytest.mark.req("R23", "T08", control=unasked)
def test_without_any_consent_no_position_arrives_anywhere() -> None:
    """`--consent none`: the contract's streams as ever, and not one position."""
    played = play("outing", SHORT_S, choice=NONE)
    assert played.faults() == []
    assert played.lines
    assert [line["signal"] for line in played.lines if any(part in line["signal"] for part in PLACES)] == []


@pytest.mark.req("R04", control=unpaid)
def test_the_basic_package_without_consent_is_teleservices_and_operations() -> None:
    """`--package basic --consent none`: nothing but these, sent or live."""
    played = play("outing", 30, package="basic", choice=NONE)
    assert played.faults() == []
    assert {line["service"] for line in played.lines} == {"teleservices", "operations"}
    assert {rule.service for rule in played.run.core.plan.rules} == {"teleservices", "operations"}


@pytest.mark.req("R22", "T01", control=unread)
def test_before_the_policy_is_accepted_nothing_leaves() -> None:
    """`--package none --consent unaccepted`: no message, no record, no rule; of the bus only the ignition."""
    played = play("outing", 20, package=None, choice=UNACCEPTED)
    assert played.faults() == []
    assert (played.lines, played.run.received.envelopes, played.run.core.plan.rules) == ([], [], ())
    assert set(played.run.core.plan.wanted) == {"Vehicle.LowVoltageSystemState"}


@pytest.mark.req("R40", control=one_key_for_all)
def test_each_message_opens_for_its_recipient_alone(outing: Played) -> None:
    """Every envelope of a drive against every recipient's key."""
    opened = Counter(_opens(payload, key) for _, _, payload in outing.run.received.envelopes for key in outing.run.keys.values())
    messages, recipients = len(outing.run.received.envelopes), len(outing.run.keys)
    assert opened == {True: messages, False: messages * (recipients - 1)}
    assert messages > 3


@pytest.mark.req("R59", control=unlogged)
def test_the_audit_log_says_what_left_and_the_chain_holds(outing: Played) -> None:
    """Per stream as many messages and values as the recipients opened; no more, no less."""
    audit = outing.run.core.parts.audit
    audit.verify()
    told: Counter[str] = Counter()
    for line in audit.show(1000):
        told[str(line["stream"])] += int(str(line.get("samples", 0)))
    samples = Counter(item.stream for item in _items(outing))
    assert told == samples


@pytest.mark.req("T16", control=named_topics)
def test_no_planted_marker_is_in_a_topic_or_an_envelope(outing: Played) -> None:
    """What the broker's operator sees names no car and no place."""
    state = outing.oracle.truth.state(START_NS + 60 * NS)
    coarse = [(line["value"]) for line in outing.lines if str(line["signal"]).endswith("tude")]
    places = ((state.lat_deg, state.lon_deg), *zip(coarse[::2], coarse[1::2], strict=True))
    sent = {f"{n} topic": topic.encode() for n, (_, topic, _) in enumerate(outing.run.received.envelopes)}
    sent |= {f"{n} payload": payload for n, (_, _, payload) in enumerate(outing.run.received.envelopes)}
    assert scan(Planted(places=places).spelled(), sent) == set()


@pytest.mark.req("R29", control=unheard)
def test_a_withdrawal_ends_the_stream_with_the_next_sample() -> None:
    """`traffic.position` withdrawn in the middle: nothing of it has a later time, and what was being collected is gone."""
    run = play_with("outing", 100, {61: _withdraw})
    traffic = [line for line in run.received.lines if line["service"] == "real_time_traffic"]
    assert max(float(str(line["t"])) for line in traffic) < START_NS / NS + 60  # the probe of second 60 was still being collected
    assert {str(line["stream"]) for line in traffic} >= {"hazard"}
    assert not any("real_time_traffic" in key.stream for key in run.core.parts.keyring.data_keys)


def test_the_same_seed_gives_the_same_device() -> None:
    """Also its secret grid: else the same inputs would trim different messages."""
    first, second = (play("outing", 6).run.core.parts for _ in range(2))
    profile = bytes.fromhex(first.ledger.facts().profiles[DRIVER].id)
    assert first.keyring.profile_key(profile) == second.keyring.profile_key(profile)


def test_a_message_without_identity_that_is_sealed_twice_has_one_key() -> None:
    """The link may break before the acknowledgement: the recipient must recognise the repetition; another message differs."""
    run = play_with("outing", 20, {})
    core = run.core
    rule = next(rule for rule in core.plan.rules if rule.identity == "none")
    core.parts.buffer.append([_draft(core, rule, value) for value in (1.0, 2.0)])
    one, other = core.parts.buffer.waiting(2, set())
    keys = [_key(run, stored) for stored in (one, one, other)]
    assert keys[0] == keys[1] != keys[2]


def _withdraw(run: VirtualRun) -> None:
    ROUTES["consent.withdraw"].run(run.core, {"item": "traffic.position"})


def _opens(payload: bytes, key: bytes) -> bool:
    try:
        open_envelope(payload, key)
    except IntegrityError:
        return False
    return True


def _items(played: Played) -> list[Item]:
    return items_of(played.lines)


def _draft(core: Core, rule: Rule, value: float) -> Draft:
    return Draft((Sample(rule, value, core.parts.clock.now_ns()),), core.plan.id, b"", True)


def _key(run: VirtualRun, stored: Stored) -> tuple[object, ...]:
    outgoing = run.core.delivery.sealed(stored, "open:main:traffic")
    assert outgoing is not None
    return open_envelope(outgoing.payload, run.keys[stored.recipient]).key
