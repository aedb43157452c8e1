"""Every check of the doctor shown its fault: one fact changed, one code found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.cli.doctor import _mark
from agent.health.checks import CHECKS, FOUND_HERE, examined
from agent.health.facts import Facts, FlashFacts, SwapFacts
from agent.health.saying import unhealthy
from agent.model import Finding
from hw.can.interface import Interface
from tests.agent.health.build import (
    BROKER,
    BUS,
    CALL,
    CERTIFICATE,
    CLOCK,
    CORE,
    DAY_S,
    DISK,
    INTERFACE,
    KEYS,
    NOW_S,
    RECEIVER,
    WELL,
    changed,
    core,
    found,
)
from tests.findings import fault


def bus(**parts: Any) -> Facts:
    return changed(buses=(replace(BUS, **parts),))


def receiver(**parts: Any) -> Facts:
    return changed(receiver=replace(RECEIVER, **parts))


def disk(**parts: Any) -> Facts:
    return changed(disk=replace(DISK, **parts))


def keys(**parts: Any) -> Facts:
    return changed(keys=replace(KEYS, **parts))


def certificate(**parts: Any) -> Facts:
    return changed(certificates=(replace(CERTIFICATE, **parts),))


def broker(step: str) -> Facts:
    return changed(brokers=(replace(BROKER, step=step, why="it is so"),))


FAULTS = [
    fault("bus-missing", bus(interface=Interface(there=False), good=None)),
    fault("bus-down", bus(interface=Interface(there=True), good=None)),
    fault("bus-off", bus(interface=replace(INTERFACE, state="BUS-OFF"), good=0)),
    fault("bus-bit-rate", bus(good=0, errors=40)),
    fault("bus-bit-rate", bus(good=0, interface=replace(INTERFACE, state="ERROR-PASSIVE", errors_rx=135))),
    fault("bus-lost", bus(problem="the bus is lost (slcan:/dev/x)", interface=None, good=None)),
    fault("bus-silent", bus(good=0, load=0.0)),
    fault("bus-errors", bus(errors=1)),
    fault("bus-errors", bus(interface=replace(INTERFACE, state="ERROR-WARNING", errors_rx=97))),
    fault("bus-load", bus(load=0.81)),
    fault("bus-quiet", bus(quiet=("MOTION",))),
    fault("bus-stranger", bus(stranger=True)),
    fault("bus-frames-lost", bus(lost=3)),
    fault("bus-software-gate", bus(software_gate=True)),
    fault("receiver-lost", receiver(problem="the receiver is unplugged", heard_age_s=30.0)),
    fault("receiver-silent", receiver(heard_age_s=11.0, fix_age_s=11.0)),
    fault("receiver-silent", receiver(heard_age_s=None, fix_age_s=None, good=0)),
    fault("receiver-garbled", receiver(good=10, bad=11)),
    fault("receiver-no-fix", receiver(fix_age_s=61.0)),
    fault("receiver-no-fix", receiver(fix_age_s=None)),
    fault("clock-past", changed(clock=replace(CLOCK, host_s=100.0))),
    fault("clock-unsure", changed(clock=replace(CLOCK, trusted=False))),
    fault("disk-unusable", disk(problem="No such file or directory")),
    fault("disk-read-only", disk(read_only=True)),
    fault("disk-full", disk(free=10**7)),
    fault("disk-low", disk(free=5 * 10**7)),
    fault("disk-inodes", disk(inodes_free=10)),
    fault("flash-worn", disk(flash=FlashFacts(life_tenths=9, spare=1))),
    fault("flash-worn", disk(flash=FlashFacts(life_tenths=3, spare=2))),
    fault("flash-worn-out", disk(flash=FlashFacts(life_tenths=11, spare=1))),
    fault("flash-worn-out", disk(flash=FlashFacts(life_tenths=3, spare=3))),
    fault("swap-open", changed(swap=SwapFacts(on=True, open=("modicum-core",)))),
    fault("key-missing", keys(missing="this device has no keys yet")),
    fault("key-wrong", keys(wrong="it opens no slot")),
    fault("key-open", keys(open=("credential",))),
    fault("key-open", keys(issued=("car.key",))),
    fault("at-rest-weak", keys(at_rest="weak")),
    fault("at-rest-weak", keys(at_rest="not-known")),
    fault("certificate-unreadable", certificate(problem="No such file or directory")),
    fault("certificate-key", certificate(matches=False)),
    fault("certificate-early", certificate(begins_s=NOW_S + 1)),
    fault("certificate-expired", certificate(ends_s=NOW_S - 1)),
    fault("certificate-ends", certificate(ends_s=NOW_S + 13 * DAY_S)),
    fault("broker-region", broker("region")),
    fault("broker-credential", broker("credential")),
    fault("broker-unreachable", broker("connect")),
    fault("broker-unreachable", broker("address")),
    fault("broker-certificate", broker("certificate")),
    fault("broker-tls", broker("handshake")),
    fault("broker-silent", broker("answer")),
    fault("broker-refused", broker("refused")),
    fault("broker-acl", broker("acl")),
    fault("broker-slow", changed(brokers=(replace(BROKER, round_trip_ms=5001.0),))),
    fault("core-silent", changed(core=None, core_why="nobody answers")),
    fault("uplink-silent", core(uplink=False)),
    fault("ecall-silent", changed(ecall=None, ecall_why="nobody answers")),
    fault("plan-empty", core(plan={"rules": 0, "refused": 24})),
    fault("buffer-filling", core(buffer={"a.b": {"rows": 9, "bytes": 9001}})),
    fault("buffer-old", core(oldest_s=DAY_S + 1)),
]


def test_where_all_is_well_nothing_is_found() -> None:
    """And every check has something to say."""
    results = examined(WELL)
    assert [finding for result in results for finding in result.findings] == []
    assert all(result.name and result.says for result in results)
    assert not unhealthy(found(WELL))


@pytest.mark.parametrize(("code", "facts"), FAULTS)
def test_a_fault_is_found_once_and_as_what_it_is(code: str, facts: Facts) -> None:
    """That code and no other, with something to do."""
    [finding] = found(facts)
    assert finding.code == code
    assert len(finding.hint) > 10
    assert unhealthy(found(facts)) == (finding.severity != "info")


@pytest.mark.parametrize(
    "facts",
    [
        disk(free=6 * 10**7),
        disk(inodes=0, inodes_free=0),
        disk(flash=FlashFacts(life_tenths=8, spare=1)),
        disk(flash=FlashFacts()),
        receiver(good=11, bad=10),
        receiver(problem="the receiver is unplugged", heard_age_s=None, fix_age_s=None, watched_s=29.0),
        receiver(heard_age_s=None, fix_age_s=None, watched_s=9.0),
        receiver(fix_age_s=None, watched_s=59.0),
        receiver(unseen="its modem is asked by core alone", good=0, heard_age_s=None, fix_age_s=None),
        bus(load=None, good=None, interface=None),
        bus(interface=Interface(there=True, up=True)),
        certificate(ends_s=NOW_S + 15 * DAY_S, matches=None),
        changed(receiver=None, ecall=None, ecall_wanted=False, disk=None),
        core(oldest_s=None, buffer={}),
        core(oldest_s=DAY_S, buffer={"a.b": {"rows": 9, "bytes": 9000}}),
        keys(unseen="root may look"),
    ],
)
def test_what_is_no_fault_is_not_found(facts: Facts) -> None:
    """Each just short of one, or what a device need not have."""
    assert found(facts) == []


@pytest.mark.parametrize(
    ("facts", "says"),
    [(receiver(problem="unplugged"), "no port"), (receiver(fix_age_s=None, watched_s=5.0, satellites=None), "no position yet")],
)
def test_what_a_receiver_has_not_told_yet_is_not_called_well(facts: Facts, says: str) -> None:
    """Nor is its age made up."""
    [result] = [one for one in examined(facts) if one.name == "receiver"]
    assert (result.says, result.known) == (f"/dev/modicum-nmea, {says}", False)


def test_with_a_clock_in_the_past_no_certificate_is_called_early() -> None:
    """Every certificate begins after 1970."""
    facts = replace(certificate(begins_s=200.0), clock=replace(CLOCK, host_s=100.0))
    assert [finding.code for finding in found(facts)] == ["clock-past"]


def test_without_core_what_it_alone_knows_is_said_to_be_unknown() -> None:
    """Not "ok"."""
    says = {result.name: result.says for result in examined(changed(core=None, core_why="gone"))}
    assert {says[name] for name in ("plan", "ledger", "buffer", "modicum-uplink")} == {"not known: modicum-core does not answer"}
    assert "what core has found" not in says


@pytest.mark.parametrize(
    ("said", "known", "bad"),
    [
        ({}, True, False),
        ({"audit": "broken"}, True, True),
        ({"chain": "broken", "audit": "not read"}, False, True),
        ({"chain": "not read", "audit": "not read"}, False, False),
    ],
)
def test_a_ledger_that_is_broken_or_was_not_read_is_not_called_well(said: dict[str, str], known: bool, bad: bool) -> None:
    """What stands in it is told all the same; why it is broken is core's finding."""
    [result] = [one for one in examined(core(ledger=CORE["ledger"] | said)) if one.name == "ledger"]
    assert (result.known, result.bad) == (known, bad)
    assert result.says.startswith("policy 2 accepted, 3 grants stand; chains at the start: ledger ")


def test_what_core_found_is_told_once() -> None:
    """What the checks find themselves is theirs; the rest is core's."""
    own = {"severity": "error", "text": "t", "hint": "h"}
    facts = core(findings=[{"code": "vin-differs", **own}, {"code": "bus-lost", **own}])
    assert found(facts) == [Finding(code="vin-differs", **own)]
    facts = replace(core(findings=[{"code": "key-missing", **own}]), keys=replace(KEYS, missing="it is gone"))
    assert [finding.code for finding in found(facts)] == ["key-missing"]
    assert [finding.code for finding in found(core(findings=[{"code": "key-missing", **own}]))] == ["key-missing"]
    assert {finding.code for code in FAULTS for finding in found(code.values[1])} > FOUND_HERE


def test_what_the_emergency_call_finds_is_told() -> None:
    """Its own codes and hints; an info is no fault."""
    own = {"code": "ecall-sim", "severity": "error", "text": "no SIM", "hint": "insert one"}
    [finding] = found(changed(ecall=CALL | {"checks": {"sim": own, "switch": None}}))
    assert (finding.code, finding.text, finding.hint) == ("ecall-sim", "emergency call: no SIM", "insert one")


def test_the_modem_is_told_without_the_end_of_its_number() -> None:
    """Which model it is helps; which one it is is nobody's."""
    says = {result.name: result.says for result in examined(WELL)}
    assert says["modem"] == "SIM usable: yes, registered: yes, signal: -71 dBm, IMEI 49015420*******"
    nothing = {"sim": None, "registered": False, "signal_dbm": None, "imei": ""}
    says = {result.name: result.says for result in examined(changed(ecall=CALL | {"modem": nothing}))}
    assert says["modem"] == "SIM usable: not known, registered: no, signal: not known"


@pytest.mark.parametrize(("parts", "cure"), [({"open": ("x",)}, "chmod 600"), ({"issued": ("x",)}, "chmod 640")])
def test_what_to_do_about_an_open_key_says_its_mode_and_who_makes_another(parts: dict[str, Any], cure: str) -> None:
    """`modicum keys rotate` makes the device's own anew, and no pair that somebody issued."""
    [finding] = found(keys(**parts))
    assert cure in finding.hint
    assert ("keys rotate" in finding.hint) != ("ask who issued it" in finding.hint)


@pytest.mark.parametrize(
    ("checks", "modem", "mark"),
    [
        ({"modem": "error"}, None, "BAD "),
        ({"network": "error"}, {"registered": False}, "BAD "),
        ({"sim": "info"}, {"sim": None}, "?   "),
        ({"vin": "error"}, {}, "ok  "),
    ],
)
def test_a_modem_of_which_something_is_wrong_or_not_known_is_not_called_well(
    checks: dict[str, str], modem: dict[str, Any] | None, mark: str
) -> None:
    """Its finding is the self-test's and told there; what is wrong with the rest of the call is not the modem's."""
    said = {name: {"code": "ecall-x", "severity": severity, "text": "t", "hint": "h"} for name, severity in checks.items()}
    facts = changed(ecall=CALL | {"checks": said, "modem": modem if modem is None else CALL["modem"] | modem})
    [result] = [one for one in examined(facts) if one.name == "modem"]
    assert (_mark(result), result.findings) == (mark, ())


def test_a_bus_that_nobody_could_look_at_is_not_called_well() -> None:
    """Nor is it a fault."""
    [result] = [one for one in examined(bus(interface=None, good=None, load=None, unseen="not opened yet")) if one.name == "bus pt"]
    assert (result.says, result.known, result.findings) == ("can0, not known: not opened yet", False, ())


def test_a_silent_bus_may_have_another_bit_rate() -> None:
    """A controller that only listens need not tell the errors that would say so."""
    assert "bit rate" in found(bus(good=0, load=0.0))[0].hint


def test_every_check_is_in_the_table_once() -> None:
    """A check that nobody runs finds nothing."""
    names = [result.name for check in CHECKS for result in check(WELL)]
    assert len(names) == len(set(names)) == 16
    assert CORE["findings"] == []
