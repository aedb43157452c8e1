"""Who drives stays in the car: the plain text of every message of a whole drive, with a driver whose data the device knows."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from agent import body
from agent.core import deliver
from agent.core.virtual import VirtualRun
from agent.envelope import open_envelope, seal_envelope
from agent.model import Sample
from hw.bench.scenario import VIN
from tests.support.markers import Planted, scan
from tests.support.virtual import play_with

PERSON = Planted(vin="not looked for here")
"""Her name is the profile's, her phone the guardian's reference of her child."""
WORDS = {
    *("name", "surname", "firstname", "nickname", "driver", "owner", "holder", "customer", "client", "person", "user", "subscriber"),
    *("phone", "mobile", "telephone", "msisdn", "sim", "imsi", "iccid", "imei", "mail", "email", "wechat", "address", "street", "city"),
    *("birth", "birthday", "age", "gender", "sex", "nationality", "passport", "licence", "license", "plate", "account", "login"),
    *("password", "contact", "contacts", "card", "bank", "payment", "identity", "citizen", "social", "profile", "guardian", "minor"),
}
"""Written for this test alone; the product has a list of its own."""
SECONDS = 66.0


def words_of(name: str) -> set[str]:
    """`Vehicle.Private.OwnerPhone_no` -> vehicle, private, owner, phone, no."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)}


def in_the_name_of(person: str) -> Callable[[pytest.MonkeyPatch], None]:
    """Sabotage: each message says under whose profile it was taken."""

    def sealed(**fields: Any) -> bytes:
        return seal_envelope(**{**fields, "policy": person})

    return lambda monkeypatch: monkeypatch.setattr(deliver, "seal_envelope", sealed)


def with_a_personal_signal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something is measured of the driver."""
    rows_of = vars(body)["_rows_of"]

    def told(sample: Sample, units: Any) -> Any:
        for row in rows_of(sample, units):
            yield type(row)("Vehicle.Driver.Identifier", row.unit, row.t_ms, row.value)

    monkeypatch.setattr(body, "_rows_of", told)


def knows_her_child(run: VirtualRun) -> None:
    run.core.parts.ledger.add_profile("child", "minor", PERSON.phone)


def plain_texts(run: VirtualRun) -> dict[str, bytes]:
    """What each recipient reads of each message, topic included, in bytes."""
    found = {}
    for number, (stream, topic, payload) in enumerate(run.received.envelopes):
        key = next(key for key in run.keys.values() if _opens(payload, key))
        opened = open_envelope(payload, key)
        head = repr((topic, opened.service, opened.stream, opened.policy, opened.purpose, opened.vin, opened.key)).encode()
        found[f"{number} {stream}"] = head + zlib.decompress(opened.body)
    return found


def _opens(payload: bytes, key: bytes) -> bool:
    try:
        open_envelope(payload, key)
    except Exception:  # noqa: BLE001  another recipient's
        return False
    return True


@pytest.mark.req("R10", control=in_the_name_of(PERSON.name))
@pytest.mark.req("R10", control=in_the_name_of(PERSON.phone))
@pytest.mark.req("R10", control=with_a_personal_signal)
def test_nothing_of_the_driver_is_in_any_message_of_a_drive(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither her name, phone and numbers, nor a signal or key that has a word for a person."""
    monkeypatch.setattr("agent.consent.choice.DRIVER", PERSON.name)  # the run's one profile bears her name
    run = play_with("outing", SECONDS, {0.5: knows_her_child})
    assert set(run.core.parts.ledger.facts().profiles) == {PERSON.name, "child"}
    assert PERSON.name in {rule.profile for rule in run.core.plan.rules}
    texts = plain_texts(run)
    assert {name.partition(" ")[2] for name in texts} >= {"real_time_traffic.probe", "teleservices.service_report"}
    assert [one for one in texts.values() if VIN.encode() in one], "the texts are plain"
    assert scan(PERSON.spelled(), texts) == set()
    signals = {str(line["signal"]) for line in run.received.lines} | {rule.signal for rule in run.core.plan.rules}
    seats = [name.replace("DriverSide", "Left").replace("PassengerSide", "Right") for name in signals]
    assert [name for name in seats if words_of(name) & WORDS] == []
    assert {key for line in run.received.lines for key in line if words_of(key) & WORDS} <= {"identity"}
