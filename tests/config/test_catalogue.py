"""The shipped catalogue, policy and device file against what was promised to the driver.

Read without the check on purpose: what is shown here holds by the data, whatever the check would let through.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import vss
from agent.catalogue import load
from agent.catalogue.check import check_catalogue, personal_word
from agent.catalogue.check_device import check_settings
from agent.catalogue.types import Catalogue, Stream, duration_s
from agent.collect.respond import EPSILON_MONTH_MAX
from agent.expression import parse
from agent.folders import config_folder
from agent.settings import load_settings
from agent.toml import Report
from tests.support.streams import TABLE, said_of

CONFIG = config_folder()
POSITION_KEEP_S_MAX = 7 * 86400


@pytest.fixture
def shipped() -> Catalogue:
    report = Report()
    reading = load.read_catalogue(load.shipped_catalogue(), report)
    assert report.findings == []
    return reading.catalogue


def streams(catalogue: Catalogue) -> Iterator[tuple[str, Stream]]:
    for service, file in catalogue.services.items():
        for stream in file.streams:
            yield f"{service}.{stream.id}", stream


def one(catalogue: Catalogue, name: str) -> Stream:
    return dict(streams(catalogue))[name]


def altered(file: str, change: Callable[[dict[str, Any]], object]) -> Callable[[pytest.MonkeyPatch], None]:
    """Sabotage: the shipped file as if somebody had edited it so."""

    def apply(monkeypatch: pytest.MonkeyPatch) -> None:
        read = vars(load)["read_table"]

        def reading(path: Path, name: str, report: Report) -> dict[str, Any] | None:
            raw: dict[str, Any] | None = read(path, name, report)
            if name == file and raw is not None:
                change(raw)
            return raw

        monkeypatch.setattr(load, "read_table", reading)

    return apply


def adds(service: str, index: int, signal: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Sabotage: one more signal in a stream."""
    return altered(f"services/{service}.toml", lambda raw: raw["stream"][index]["signal"].append({"id": signal}))


# -- packages ---------------------------------------------------------------------------------------------------------

BASIC = {"ecall", "teleservices"}
MEDIA = BASIC | {"remote_assistance", "information_online"}
NAVIGATION = MEDIA | {"journey_consulting", "real_time_traffic"}
EVERY_CAR = {"service_process", "product_improvement", "operations", "legal"}


def sells(package: str, service: str) -> Callable[[pytest.MonkeyPatch], None]:
    return altered("packages.toml", lambda raw: raw["packages"][package]["services"].append(service))


@pytest.mark.req("R04", control=sells("basic", "remote_assistance"))
@pytest.mark.req("R05", control=sells("media_plus", "journey_consulting"))
@pytest.mark.req(
    "R06", control=altered("packages.toml", lambda raw: raw["packages"]["navigation_plus"]["services"].remove("real_time_traffic"))
)
def test_packages_are_the_three_of_the_policy(shipped: Catalogue) -> None:
    """basic, media_plus and navigation_plus contain what the policy says; four services belong to every car."""
    assert {name: set(package.services) for name, package in shipped.packages.items()} == {
        "basic": BASIC,
        "media_plus": MEDIA,
        "navigation_plus": NAVIGATION,
    }
    assert {name for name, file in shipped.services.items() if file.service.in_every_package} == EVERY_CAR
    assert shipped.services.keys() == NAVIGATION | EVERY_CAR


# -- streams ----------------------------------------------------------------------------------------------------------


def stream_raw(service: str, index: int, **changes: object) -> Callable[[pytest.MonkeyPatch], None]:
    """Sabotage: keys of a stream say something else."""
    return altered(f"services/{service}.toml", lambda raw: raw["stream"][index].update(changes))


def steps_of(service: str, index: int, signal: int, *steps: dict[str, object]) -> Callable[[pytest.MonkeyPatch], None]:
    """Sabotage: a signal of a stream has these transforms instead of its own."""
    return altered(f"services/{service}.toml", lambda raw: raw["stream"][index]["signal"][signal].update(transforms=list(steps)))


@pytest.mark.req("R24", control=steps_of("real_time_traffic", 1, 1, {"grid_m": 200}))
@pytest.mark.req("R24", control=steps_of("real_time_traffic", 0, 1, {"round_to": 1}))
@pytest.mark.req("R24", control=steps_of("teleservices", 0, 0, {"round_to": 1}))
@pytest.mark.req("R24", control=steps_of("product_improvement", 1, 0))
@pytest.mark.req("R24", control=stream_raw("real_time_traffic", 0, every_s=1))
@pytest.mark.req("R24", control=stream_raw("real_time_traffic", 1, time_floor_s=0))
@pytest.mark.req("R24", control=stream_raw("service_process", 0, time_floor_s=0))
@pytest.mark.req("R24", control=stream_raw("teleservices", 1, **{"while": "any"}))
def test_streams_are_those_of_the_requirements(shipped: Catalogue) -> None:
    """Triggers, identity, basis, consent item, keep, precision of each signal and rate of every stream, and no stream besides."""
    found = {name: said_of(stream) for name, stream in streams(shipped)}
    assert set(found) == set(TABLE)
    for name, said in TABLE.items():
        assert found[name] == said, name


def test_catalogue_passes_its_own_check(shipped: Catalogue) -> None:
    """The shipped files have neither error nor warning."""
    report = Report()
    check_catalogue(shipped, report)
    assert report.findings == []


@pytest.mark.req("R26", control=altered("services/teleservices.toml", lambda raw: raw["stream"][0].update(keep="31d")))
def test_every_stream_is_kept_no_longer_than_its_purpose(shipped: Catalogue) -> None:
    """keep <= max_keep of the purpose; a position at most 7 days."""
    for name, stream in streams(shipped):
        keep_s = 0 if stream.keep == "ram" else duration_s(stream.keep)
        assert keep_s <= duration_s(shipped.purposes[stream.purpose].max_keep), name
        if any(shipped.signals[signal.id].category == "position" for signal in stream.signals):
            assert keep_s <= POSITION_KEEP_S_MAX, name


EXACT = {"teleservices.breakdown_position", "remote_assistance.find_vehicle", "journey_consulting.call"}


@pytest.mark.req(
    "R24", control=altered("services/information_online.toml", lambda raw: raw["stream"][0]["signal"][0].update(transforms=[]))
)
def test_exact_position_only_where_the_table_says_so(shipped: Catalogue) -> None:
    """Three streams have an exact position, each once and on request; every other is on a grid of 200 m or more."""
    exact = set()
    for name, stream in streams(shipped):
        for signal in stream.signals:
            cells = [step["grid_m"] for step in signal.transforms if "grid_m" in step]
            if signal.id == vss.LOCATION and max(cells, default=0) < 200:
                exact.add(name)
    assert exact == EXACT
    assert all(trigger.startswith("request:") for name in EXACT for trigger in one(shipped, name).triggers)


def test_hazard_needs_speed_lately(shipped: Catalogue) -> None:
    """A hazard is told only after more than 30 km/h in the last 60 s."""
    for trigger in one(shipped, "real_time_traffic.hazard").triggers:
        recent = shipped.events[trigger.removeprefix("event:")].recent
        assert recent is not None
        assert (recent.when, recent.within_s) == ("Vehicle.Speed > 30", 60)


# -- what must not be there -------------------------------------------------------------------------------------------


@pytest.mark.req("R17", control=altered("services/operations.toml", lambda raw: raw["stream"][0].update(purpose="marketing")))
def test_nothing_is_mapped_to_marketing(shipped: Catalogue) -> None:
    """No stream has a purpose of advertising or market research, and no such purpose is declared."""
    words = ("market", "advert", "promot")
    purposes = [name + purpose.title + purpose.dpv for name, purpose in shipped.purposes.items()] + [
        stream.purpose for _, stream in streams(shipped)
    ]
    assert not [text for text in purposes if any(word in text.lower() for word in words)]


def test_no_signal_speaks_of_a_person(shipped: Catalogue) -> None:
    """No name, phone, account, identity number, emergency contact among the signals."""
    assert [name for name in shipped.signals if personal_word(name)] == []


def positions(catalogue: Catalogue, stream: Stream) -> list[str]:
    return [
        signal.id for signal in stream.signals if signal.id.startswith(vss.LOCATION) or catalogue.signals[signal.id].category == "position"
    ]


def also_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    adds("service_process", 0, vss.LOCATION)(monkeypatch)
    adds("legal", 0, vss.LOCATION)(monkeypatch)


@pytest.mark.req("R14", "R19", control=also_a_place)
@pytest.mark.parametrize("name", ["service_process.case", "legal.recall"])
def test_workshop_and_law_get_the_car_and_never_a_place(name: str, shipped: Catalogue) -> None:
    """The VIN, technical data, no position, nothing about a person."""
    stream = one(shipped, name)
    assert stream.identity == "vin"
    assert positions(shipped, stream) == []
    assert {shipped.signals[signal.id].category for signal in stream.signals} <= {"service", "status"}


@pytest.mark.req("R12", control=adds("product_improvement", 1, vss.HEADING))
@pytest.mark.req("R12", control=altered("services/product_improvement.toml", lambda raw: raw["stream"][0].update(identity="pairwise")))
@pytest.mark.req(
    "R12",
    control=altered("services/product_improvement.toml", lambda raw: raw["stream"][0]["signal"][0].update(transforms=[{"bucket": [1]}])),
)
def test_improvement_is_random_nameless_and_never_sensitive(shipped: Catalogue) -> None:
    """usage: identity none, at most 10 classes, randomised; vehicle: under a consent item of its own; neither is sensitive."""
    usage, vehicle = one(shipped, "product_improvement.usage"), one(shipped, "product_improvement.vehicle")
    assert (usage.identity, usage.every_s) == ("none", 7 * 86400)
    for signal in usage.signals:
        assert [name for step in signal.transforms for name in step] == ["bucket", "respond_k"]
        bucket, answer = signal.transforms
        assert len(bucket["bucket"]) + 1 == answer["respond_k"]["k"] <= 10
        assert 5 * answer["respond_k"]["epsilon"] <= EPSILON_MONTH_MAX, "30 days have five of these weeks"
    assert [name for name, stream in streams(shipped) if stream.consent == vehicle.consent] == ["product_improvement.vehicle"]
    assert not any(shipped.signals[signal.id].sensitive for signal in (*usage.signals, *vehicle.signals))


@pytest.mark.req("R20", control=adds("operations", 0, vss.SPEED))
def test_operations_sends_counts_of_the_agent_only(shipped: Catalogue) -> None:
    """The agent's own state has no value of the car in it."""
    signals = {signal.id: shipped.signals[signal.id] for signal in one(shipped, "operations.health").signals}
    assert all(name.startswith(vss.HEALTH) and signal.source == "agent" and signal.unit == "count" for name, signal in signals.items())


@pytest.mark.req("R23", control=altered("services/teleservices.toml", lambda raw: raw["stream"][3].update(consent="improvement.usage")))
@pytest.mark.req("R23", control=adds("remote_assistance", 0, vss.HEADING))
def test_sensitive_signals_have_an_item_of_their_own(shipped: Catalogue) -> None:
    """Each sensitive signal leaves under a sensitive item, which no stream without one shares; the item ends within a year."""
    for name, stream in streams(shipped):
        item = shipped.items.get(stream.consent or "")
        sensitive = any(shipped.signals[signal.id].sensitive for signal in stream.signals)
        assert sensitive == (item is not None and item.sensitive), name
        assert item is None or duration_s(item.max_term) <= 366 * 86400


@pytest.mark.req("R39", control=altered("services/real_time_traffic.toml", lambda raw: raw["stream"][1].update(identity="pairwise")))
def test_traffic_has_no_identity(shipped: Catalogue) -> None:
    """What third parties build maps and traffic from comes without identity."""
    assert {stream.identity for name, stream in streams(shipped) if stream.recipient == "traffic"} == {"none"}


def test_behaviour_is_in_no_stream(shipped: Catalogue) -> None:
    """Pedals, acceleration, braking, steering, belts, seats, cabin, microphone and camera are in no default stream."""
    words = (
        "Pedal",
        "Acceleration",
        "SteeringWheel",
        "Torque",
        "IsBelted",
        "Seat",
        "HVAC",
        "Infotainment",
        "Occupant",
        "Microphone",
        "Camera",
    )
    assert [name for name in shipped.signals if any(word in name for word in words)] == []


@pytest.mark.req(
    "R25",
    control=altered("signals.toml", lambda raw: raw["signals"].update({"Vehicle.Cabin.DoorCount": {"unit": "", "category": "status"}})),
)
def test_every_signal_is_needed(shipped: Catalogue) -> None:
    """Nothing is declared that no stream sends, no event watches and the agent does not need to know when to be silent."""
    sent = {signal.id for _, stream in streams(shipped) for signal in stream.signals}
    watched = {name for event in shipped.events.values() for name in parse(event.when).signals}
    own = {vss.SPEED, vss.GNSS_SPEED, vss.IGNITION, vss.GEAR, vss.ODOMETER}
    assert shipped.signals.keys() - sent - watched - own == set()


# -- policy and device ------------------------------------------------------------------------------------------------


@pytest.mark.req("R60", control=altered("policies/2026-11/policy.toml", lambda raw: raw.update(contact="")))
def test_policy_names_all_that_is_sent_and_a_contact(shipped: Catalogue) -> None:
    """Purposes, categories and recipients of every stream stand in the newest version, with a contact."""
    policy = shipped.policies["2026-11"]
    assert {stream.purpose for _, stream in streams(shipped)} == set(policy.purposes)
    assert {stream.recipient for _, stream in streams(shipped)} == set(policy.recipients)
    assert {str(shipped.signals[signal.id].category) for _, stream in streams(shipped) for signal in stream.signals} == set(
        policy.categories
    )
    assert "@" in policy.contact


@pytest.mark.parametrize(
    ("language", "words"),
    [
        (
            "en",
            (
                "trip",
                "12 months",
                "7 days",
                "24 hours",
                "30 days",
                "5 km",
                "200 m",
                "10 km/h",
                "45 degrees",
                "13 hours",
                "10 working days",
                "14",
                "guest",
            ),
        ),
        (
            "zh",
            (
                "本次行程",
                "12 个月",
                "7 天",
                "24 小时",
                "30 天",
                "5 公里",
                "200 米",
                "10 公里/小时",
                "45 度",
                "13 小时",
                "10 个工作日",
                "14 周岁",
                "访客",
            ),
        ),
    ],
)
def test_policy_text_says_the_numbers_on_one_page(language: str, words: tuple[str, ...], shipped: Catalogue) -> None:
    """The text in either language has the limits of the catalogue, the contact, and fits a page."""
    policy = shipped.policies["2026-11"]
    text = (CONFIG / "policies/2026-11" / getattr(policy.text, language)).read_text(encoding="utf-8")
    assert [word for word in words if word not in text] == []
    assert "privacy@operator.example" in text
    assert len(text.splitlines()) <= 70


def test_every_item_is_asked_in_both_languages(shipped: Catalogue) -> None:
    """A driver can read each question in English and Chinese."""
    assert [
        name
        for name, item in shipped.items.items()
        if not item.title or not any("\u4e00" <= letter <= "\u9fff" for letter in item.title_zh)
    ] == []


def test_example_device_fits_the_catalogue(shipped: Catalogue) -> None:
    """config/agent.toml describes every recipient, a package that exists and a vehicle that is there."""
    settings = load_settings(CONFIG / "agent.toml")
    report = Report()
    check_settings(settings, "agent.toml", shipped, report)
    assert report.findings == []
    assert (CONFIG / "vehicles" / settings.vehicle.platform / "vehicle.toml").is_file()


def test_every_event_can_happen_on_the_bench_car(shipped: Catalogue) -> None:
    """The bench car maps what the shipped events watch, and what a report of teleservices is made of."""
    mapped = tomllib.loads((CONFIG / "vehicles/bench/vehicle.toml").read_text(encoding="utf-8"))["signals"].keys()
    watched = {name for event in shipped.events.values() for name in parse(event.when).signals}
    assert {name for name in watched if shipped.signals[name].source == "vehicle"} <= mapped
    assert {signal.id for signal in one(shipped, "teleservices.service_report").signals} <= mapped
