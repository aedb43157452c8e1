"""The checks of who answers whom: the three programs, brokers, what waits to be sent, the emergency call and its modem. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from agent.health.facts import BrokerFacts, Facts, Told
from agent.health.saying import Result, age, counted_bytes
from agent.model import Finding, error, info, warning
from agent.mqtt.terms import REFUSED, UNNAMED, UNREADABLE

FULL_SHARE = 0.9
OLD_S = 86_400.0
"""A car that stands in a garage without a network for a day is usual; more than that is worth a look."""
ROUND_TRIP_MS_MAX = 5_000.0
OF_MODEM = ("modem", "sim", "network")
"""Checks of the emergency call's self-test that are about its modem."""
UNSEEN = "not known: modicum-core does not answer"
UNTRIED = "connected; what it takes was not tried: the device's id is not known here"
JOURNAL = "journalctl --namespace=modicum -u"
BROKER: Mapping[str, Finding] = {
    "region": warning("broker-region", "", "nothing is sent there: correct [brokers] or [regions]"),
    "credential": error(
        "broker-credential",
        "",
        "see the certificates and keys: chmod 640, and the group of who reads them: modicum-uplink, or modicum-ecall for its own",
    ),
    "address": error("broker-unreachable", "", "see the name service, and addresses of this broker in agent.toml"),
    "connect": error("broker-unreachable", "", "see the network (ip route), and url of this broker; it is tried again all the time"),
    "certificate": error(
        "broker-certificate", "", "ca of this broker must be the authority that issued the broker's certificate, and url its name"
    ),
    "plain": error("broker-tls", "", "no TLS on this port: see url and port of this broker in agent.toml"),
    "handshake": error("broker-tls", "", "see whether the broker knows the authority of our certificate, and ours is valid"),
    "answer": error("broker-silent", "", "something else listens there, or the broker is overloaded"),
    "refused": error("broker-refused", "", "the broker must know this device's certificate and let it in"),
    "acl": error("broker-acl", "", "the broker must let this device write below its own ids (modicum keys show)"),
}
"""Step of a try that failed -> what is found."""
LASTING = {UNREADABLE: "credential", UNNAMED: "credential", REFUSED: "refused"}
"""What modicum-uplink says of a lane -> the step, where waiting does not help."""


def unusable(what: str, where: str, hint: str) -> Result:
    """That there are no settings: agent.toml cannot be used."""
    return Result("agent.toml", what, (error("settings-unusable", f"agent.toml cannot be used: {what} ({where})", hint),))


def services(facts: Facts) -> list[Result]:
    """Whether the programs answer."""
    return [_core(facts), _uplink(facts), *([_call(facts)] if facts.ecall_wanted else [])]


def _core(facts: Facts) -> Result:
    if facts.core is not None:
        return Result("modicum-core", "answers")
    found = error(
        "core-silent",
        f"modicum-core does not answer: {facts.core_why}",
        f"systemctl status modicum-core; {JOURNAL} modicum-core",
    )
    return Result("modicum-core", "does not answer", (found,))


def _uplink(facts: Facts) -> Result:
    if facts.core is None:
        return Result("modicum-uplink", UNSEEN, known=False)
    if facts.core["uplink"]:
        return Result("modicum-uplink", "linked to core")
    hint = f"systemctl status modicum-uplink; {JOURNAL} modicum-uplink"
    return Result("modicum-uplink", "not linked", (error("uplink-silent", "modicum-uplink has no link to core: nothing is sent", hint),))


def _call(facts: Facts) -> Result:
    if facts.ecall is not None:
        return Result("modicum-ecall", "answers")
    hint = f"systemctl status modicum-ecall; {JOURNAL} modicum-ecall"
    found = error("ecall-silent", f"modicum-ecall does not answer, so nobody is called after a crash: {facts.ecall_why}", hint)
    return Result("modicum-ecall", "does not answer", (found,))


def broker(one: BrokerFacts) -> Result:
    """One lane's way to its broker."""
    name = f"broker {one.name} ({one.lane})"
    if one.unseen:
        return Result(name, f"not known: {one.unseen}", known=False)
    if not one.step:
        what = "an empty message was acknowledged" if one.published else one.why or UNTRIED
        took = one.round_trip_ms or 0.0
        slow = took > ROUND_TRIP_MS_MAX
        found = warning("broker-slow", f"{name}: it answers after {took:.0f} ms", "see the signal and the network") if slow else None
        return Result(name, f"{what}, {took:.0f} ms", (found,) if found else ())
    return Result(name, one.why, (replace(BROKER[one.step], text=f"{name}: {one.why}"),))


def offline(name: str, row: Told) -> BrokerFacts | None:
    """A lane as core's status tells it, where it is offline for a reason that does not heal by itself; root would not meet it."""
    step = next((step for words, step in LASTING.items() if words in row["why"]), "")
    if row["online"] or not step:
        return None
    return BrokerFacts(name=row["broker"], lane=name, step=step, why=f"modicum-uplink says: {row['why'].removeprefix('modicum: ')}")


def plan(facts: Facts) -> Result:
    """Whether anything may be collected at all, and how much is withheld."""
    if facts.core is None:
        return Result("plan", UNSEEN, known=False)
    rules, refused = facts.core["plan"]["rules"], facts.core["plan"]["refused"]
    found = []
    if not rules:
        hint = "usual until the policy is accepted and a package bought: modicum plan says the reasons"
        found.append(info("plan-empty", "nothing may be collected: no rule is live", hint))
    return Result("plan", f"{rules} rules are live, {refused} signals are withheld", tuple(found))


def ledger(facts: Facts) -> Result:
    """What is granted, and whether ledger and audit log are what was written; that one is not is a finding of core's."""
    if facts.core is None:
        return Result("ledger", UNSEEN, known=False)
    chains = {facts.core["ledger"]["chain"], facts.core["ledger"]["audit"]}
    return Result("ledger", ledger_line(facts.core["ledger"]), known="not read" not in chains, bad="broken" in chains)


def ledger_line(told: Told) -> str:
    """How the ledger stands, in one line."""
    policy = f"policy {told['policy']} accepted" if told["policy"] else "no policy accepted"
    standing = "1 grant stands" if told["grants"] == 1 else f"{told['grants']} grants stand"
    return f"{policy}, {standing}; chains at the start: ledger {told['chain']}, audit log {told['audit']}"


def waiting(told: Told, quota_bytes: int) -> list[Finding]:
    """What waits to be sent, as `buffer` and `oldest_s` of core's status tell it."""
    size, oldest_s = sum(row["bytes"] for row in told["buffer"].values()), told.get("oldest_s")
    found = []
    if quota_bytes and size > FULL_SHARE * quota_bytes:
        hint = "let the car reach its broker, or raise quota_mib of [state]: next, what matters least is lost"
        found.append(warning("buffer-filling", f"what waits to be sent takes {size / quota_bytes:.0%} of its room", hint))
    if oldest_s is not None and oldest_s > OLD_S:
        text = f"what waits to be sent is up to {age(oldest_s)} old"
        found.append(warning("buffer-old", text, "see the brokers and modicum-uplink; each record is deleted when its time is over"))
    return found


def buffer(facts: Facts) -> Result:
    """What waits to be sent."""
    if facts.core is None:
        return Result("buffer", UNSEEN, known=False)
    streams, oldest_s = facts.core["buffer"].values(), facts.core.get("oldest_s")
    rows, size = sum(row["rows"] for row in streams), sum(row["bytes"] for row in streams)
    oldest = "" if oldest_s is None else f", the oldest {age(oldest_s)} old"
    return Result("buffer", f"{rows} records, {counted_bytes(size)}{oldest}", tuple(waiting(facts.core, facts.quota_bytes)))


def ecall(facts: Facts) -> list[Result]:
    """The emergency call's own self-test, and the modem that it alone may ask."""
    if facts.ecall is None:
        return [] if facts.ecall_wanted else [Result("emergency call", "none is configured")]
    told, modem = facts.ecall, facts.ecall.get("modem") or {}
    bad = any(one is not None and one["severity"] == "error" for name, one in told["checks"].items() if name in OF_MODEM)
    known = None not in (modem.get(name, "") for name in ("sim", "registered"))
    return [
        Result("emergency call", call_line(told), tuple(self_test(told))),
        Result("modem", modem_line(told), known=known, bad=bad),
    ]


def self_test(told: Told) -> Iterator[Finding]:
    """As modicum-ecall found it; the modem's among them."""
    for one in told["checks"].values():
        if one is not None:
            yield replace(Finding(**one), text=f"emergency call: {one['text']}")


def call_line(told: Told) -> str:
    """How the emergency call stands, in one line."""
    checks = told["checks"].values()
    wrong = sum(one is not None and one["severity"] != "info" for one in checks)
    found = f"{wrong} of {len(checks)} checks found something" if wrong else "nothing found"
    return f"{told['state']}{'' if told['enabled'] else ', switched off'}; self-test: {found}"


def modem_line(told: Told) -> str:
    """SIM, registration, signal, and which model it is: the end of its IMEI, which names the one device, is masked."""
    modem = told.get("modem")
    if modem is None:
        return "none is configured"
    words = {None: "not known", True: "yes", False: "no"}
    signal = "not known" if modem["signal_dbm"] is None else f"{modem['signal_dbm']} dBm"
    imei = f", IMEI {modem['imei']}" if modem["imei"] else ""
    return f"SIM usable: {words[modem['sim']]}, registered: {words[modem['registered']]}, signal: {signal}{imei}"
