"""The route table: everything that can be asked of a running agent, and who may ask it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from agent.catalogue.types import duration_s
from agent.consent.state import GUEST
from agent.control import technician
from agent.control.protocol import ANSWER_S_MAX, REQUEST_S_MAX
from agent.core.emergency import disclosures_of
from agent.core.outcome import plan_document
from agent.errors import DeviceError, UsageError
from agent.plan.subscribe import subscriptions
from agent.policy.versions import notice_hash, ordered, text_of

if TYPE_CHECKING:
    from agent.core.core import Core

Args = Mapping[str, Any]
METHOD = "control socket"
ON_DEMAND = ("request:", "order:")
"""Triggers of somebody's asking: a stream that has no other collects nothing by itself."""
LANGUAGES = ("en", "zh")
AUDIT_LINES_MAX = 10_000
NS_PER_MS = 1_000_000
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Route:
    """`permission`: read | drive | own, or call: only of modicum-ecall, at a socket of its own. `run` gives the answer.

    `settles`: the answer waits until nothing of what was taken back can leave any more. `within_s`: how long it may take.
    """

    permission: str
    run: Callable[[Core, Args], object]
    settles: bool = False
    within_s: float = ANSWER_S_MAX


def consent_show(core: Core, _: Args) -> object:
    """Every item with the state that this trip's driver has given it."""
    facts, profile = core.parts.ledger.facts(), core.profile
    rows = []
    for name, item in core.parts.catalogue.items.items():
        grant = facts.grants.get((profile, name))
        rows.append(
            {
                "item": name,
                "title": item.title,
                "state": grant.state if grant else "NOT_SET",
                "until": _iso(grant.until_ms) if grant else None,
                "trip": bool(grant and grant.trip),
                "sensitive": item.sensitive,
            }
        )
    return {"profile": profile, "items": rows}


def consent_grant(core: Core, args: Args) -> object:
    """Grants an item for this trip's driver."""
    item, profile = _item(core, args), core.profile
    declared = core.parts.catalogue.items[item]
    until_ms, for_trip = _arg(args, "until_ms", int), _arg(args, "trip", bool)
    if profile == GUEST:
        raise UsageError("a guest grants nothing", item, "say who drives first: modicum profile use NAME")
    policy = core.parts.ledger.facts().policy
    if policy is None:
        raise UsageError("the policy has not been acknowledged", item, "read it and accept it: modicum policy show, modicum policy accept")
    grant = core.parts.ledger.grant(
        profile,
        item,
        policy=policy,
        method=METHOD,
        max_term_s=duration_s(declared.max_term),
        until_ms=until_ms,
        trip=_trip(core) if for_trip else None,
        sensitive=declared.sensitive,
    )
    core.decide()
    cut = until_ms is not None and grant.until_ms != until_ms
    return {"item": item, "profile": profile, "until": _iso(grant.until_ms), "trip": bool(grant.trip), "entry": grant.entry, "cut": cut}


def consent_withdraw(core: Core, args: Args) -> object:
    """Withdraws an item; when the answer comes, no further byte of it leaves and what was buffered is unreadable.

    After a trip it is the word of who drove it: withdrawing must not have to wait for the next one.
    """
    item, profile, confirmed = _item(core, args), core.profile, core.parts.ledger.facts().confirmed
    if profile == GUEST and confirmed is not None:
        profile = confirmed[0]  # nobody is confirmed for this trip: it is the word of whoever drove last
    refs = core.parts.ledger.withdraw(profile, item)
    core.decide()
    return {"item": item, "profile": profile, "ended": refs}


def consent_history(core: Core, _: Args) -> object:
    """All entries of the ledger."""
    return core.parts.ledger.history()


def profile_list(core: Core, _: Args) -> object:
    """The drivers, and who is driving."""
    profiles = core.parts.ledger.facts().profiles.values()
    return {"current": core.profile, "profiles": [{"name": one.name, "kind": one.kind} for one in profiles]}


def profile_add(core: Core, args: Args) -> object:
    """Adds a driver."""
    name = _name(args)
    core.parts.ledger.add_profile(name, "minor" if _arg(args, "minor", bool) else "adult")
    return {"name": name}


def profile_use(core: Core, args: Args) -> object:
    """Confirms who drives this trip."""
    core.parts.ledger.use_profile(_name(args), _trip(core))
    core.decide()
    return {"current": core.profile}


def policy_show(core: Core, args: Args) -> object:
    """A policy version's text, and which version is acknowledged."""
    policies, accepted = core.parts.catalogue.policies, core.parts.ledger.facts().policy
    if not policies:
        return {"version": None, "accepted": accepted, "text": "", "versions": []}
    version = _arg(args, "version", str) or ordered(policies)[-1]
    if version not in policies:
        raise UsageError(f"no policy {version}", "policy show", f"there are {', '.join(ordered(policies))}")
    text = text_of(policies[version], core.parts.policies_folder, _language(args))
    return {"version": version, "accepted": accepted, "text": text, "versions": ordered(policies)}


def policy_accept(core: Core, args: Args) -> object:
    """Acknowledges a version; this is the notice, not a consent to any item."""
    shown = policy_show(core, args)
    assert isinstance(shown, dict)
    if shown["version"] is None:
        raise UsageError("this catalogue has no policy", "policy accept", "nothing needs to be accepted")
    core.parts.ledger.accept_policy(shown["version"], METHOD, notice=notice_hash(shown["text"]), language=_language(args))
    core.decide()
    return {"accepted": shown["version"]}


def request(core: Core, args: Args) -> object:
    """Asks for a stream, in person; the answer comes when what has to be fresh has come, after 30 s at the latest."""
    return core.ask(_arg(args, "stream", str) or "")


def live(core: Core, _: Args) -> object:
    """What is collected right now, the indicator, and when each stream was last sent."""
    rules: dict[str, list[str]] = {}
    for rule in core.plan.rules:
        if core.trip.allows(rule.while_) and any(not trigger.startswith(ON_DEMAND) for trigger in rule.triggers):
            rules.setdefault(rule.name, []).append(rule.signal)
    signals = core.parts.catalogue.signals
    position = any(signals[name].category == "position" for names in rules.values() for name in names if name in signals)
    return {
        "profile": core.profile,
        "trip": core.trip.id is not None,
        "ignition": core.trip.ignition,
        "indicator": "position" if position else "on" if rules else "off",
        "collecting": rules,
        "last_sent": {stream: _iso(ms) for stream, ms in core.delivery.last_sent_ms.items()},
        "last_sent_unsure": sorted(core.delivery.unsure),
        "unlocked": technician.unlocked(core),
    }


def status(core: Core, _: Args) -> object:
    """Health in numbers: no value, no position."""
    return {**core.status(), "unlocked": technician.unlocked(core)}


def plan(core: Core, _: Args) -> object:
    """The plan that is in force."""
    return plan_document(core.plan, subscriptions(core.plan.wanted, core.parts.vehicle))


def audit_show(core: Core, args: Args) -> object:
    """What left, to whom, why."""
    return core.parts.audit.show(min(max(_arg(args, "limit", int) or 100, 1), AUDIT_LINES_MAX))


def audit_ecall(core: Core, args: Args) -> object:
    """Enters an emergency call that is over. Entering it again changes nothing."""
    session, kind, messages = _arg(args, "session", str) or "", _arg(args, "kind", str) or "", _arg(args, "messages", int) or 0
    told = bool(_arg(args, "told", bool))
    if not core.delivery.may_send:
        raise DeviceError("the audit log is broken and written no more", "audit.ecall", "see modicum status")
    t_ms = core.parts.clock.now_ns() // NS_PER_MS
    core.parts.audit.disclosed(disclosures_of(session, kind, messages, t_ms, told=told))
    return {}


def ping(_: Core, __: Args) -> object:
    """Whether somebody is there."""
    return {"t": datetime.now(UTC).isoformat()}


ROUTES: dict[str, Route] = {
    "ping": Route("read", ping),
    "consent.show": Route("read", consent_show),
    "consent.grant": Route("drive", consent_grant),
    "consent.withdraw": Route("drive", consent_withdraw, settles=True),
    "consent.history": Route("read", consent_history),
    "profile.list": Route("read", profile_list),
    "profile.add": Route("drive", profile_add),
    "profile.use": Route("drive", profile_use, settles=True),
    "policy.show": Route("read", policy_show),
    "policy.accept": Route("drive", policy_accept),
    "request": Route("drive", request, within_s=REQUEST_S_MAX),
    "live": Route("read", live),
    "status": Route("read", status),
    "gnss": Route("read", technician.gnss),
    "gnss.plain": Route("own", technician.gnss_plain),
    "vin": Route("own", technician.vin),
    "unlock": Route("own", technician.unlock),
    "lock": Route("drive", technician.lock),
    "plan": Route("read", plan),
    "audit.show": Route("own", audit_show),
    "audit.ecall": Route("call", audit_ecall),
}


def _arg(args: Args, name: str, kind: type[T]) -> T | None:
    """An argument of that very kind, or None where it is absent: what a peer sends is not believed to be in order."""
    value = args.get(name)
    if value is None or type(value) is kind:
        return value
    raise UsageError(f"{name} is no {kind.__name__}", METHOD, "is the command line of this release?")


def _name(args: Args) -> str:
    name = _arg(args, "name", str)
    if not name:
        raise UsageError("no name", "profile", "say whose profile it is")
    return name


def _language(args: Args) -> str:
    language = _arg(args, "language", str) or LANGUAGES[0]
    if language not in LANGUAGES:
        raise UsageError(f"no language {language}", "policy", f"there are {', '.join(LANGUAGES)}")
    return language


def _item(core: Core, args: Args) -> str:
    item = _arg(args, "item", str) or ""
    if item not in core.parts.catalogue.items:
        raise UsageError(f"no consent item {item}", "consent", f"there are {', '.join(sorted(core.parts.catalogue.items))}")
    return item


def _trip(core: Core) -> str:
    if core.trip.id is None:
        raise UsageError("there is no trip", "ignition off or not known", "switch the ignition on first")
    return core.trip.id


def _iso(t_ms: int | None) -> str | None:
    return datetime.fromtimestamp(t_ms / 1000, UTC).isoformat() if t_ms is not None else None
