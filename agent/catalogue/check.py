"""Whether the files of a catalogue agree with each other and with the house rules.

Pure: works on what `load` read, touches no file. A finding names file and key and says what to do. What a file that is
`broken` would have declared is not known, so references into it are not called wrong.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import pairwise
from typing import get_args

from agent.catalogue.check_streams import STREAM_RULES, StreamView
from agent.catalogue.types import Catalogue, Category, Policy, duration_s
from agent.errors import ConfigError
from agent.expression import parse
from agent.limits import SENSITIVE_TERM_S_MAX
from agent.toml import At, Report
from agent.units import conversion
from agent.vss import LOCATION, UNITS

SIGNAL_NAME = re.compile(r"[A-Za-z]\w*(\.\w+)+\Z", re.ASCII)
DPV_TERM = re.compile(r"[A-Z][A-Za-z]+\Z")
WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
PERSONAL_WORDS = frozenset(
    {"phone", "telephone", "mobile", "msisdn", "imsi", "iccid", "imei", "email", "account", "customer", "subscriber", "surname", "passport"}
)
PERSONAL_PAIRS = frozenset(
    {
        ("id", "number"),
        ("id", "card"),
        ("identity", "number"),
        ("identity", "card"),
        ("national", "id"),
        ("e", "mail"),
        ("home", "address"),
        ("birth", "date"),
        ("emergency", "contact"),
        ("driver", "identifier"),
        ("driver", "id"),
        ("user", "id"),
    }
)


def check_catalogue(catalogue: Catalogue, report: Report, broken: Collection[str] = frozenset()) -> None:
    """Adds every contradiction inside `catalogue` to the report. `broken`: files whose content is missing."""
    _signals(catalogue, report)
    _purposes(catalogue, report)
    _items(catalogue, report, broken)
    _packages(catalogue, report, broken)
    _events(catalogue, report, broken)
    _services(catalogue, report, broken)
    _policies(catalogue, report, broken)


def personal_word(name: str) -> str | None:
    """The word of a signal's name that speaks of a person instead of a car (R10, R19), or None."""
    words = [word.lower() for word in WORD.findall(name)]
    single = next((word for word in words if word in PERSONAL_WORDS), None)
    pair = next((" ".join(two) for two in pairwise(words) if two in PERSONAL_PAIRS), None)
    return single or pair or ("name" if words and words[-1] == "name" else None)


def _signals(catalogue: Catalogue, report: Report) -> None:
    for name, signal in catalogue.signals.items():
        at = At("signals.toml").key("signals").key(name)
        if not SIGNAL_NAME.match(name):
            report.error("signal-name", f"{name!r} is no dotted name", at, "write for example Vehicle.Speed")
        word = personal_word(name)
        if word is not None:
            report.error(
                "personal-data", f"{name!r} speaks of a person ({word})", at, "the agent has no field for it; leave it to the contract"
            )
        if (signal.source == "agent") != name.startswith("Modicum."):
            report.error(
                "signal-source",
                f"{name!r}: source {signal.source!r}",
                at.key("source"),
                "the agent's own signals, and only they, begin with Modicum.",
            )
        if signal.category == "position" and not signal.sensitive:
            report.warning(
                "position-not-marked", f"{name!r} is a position and not marked", at, "write sensitive = true; it is treated so anyway"
            )
        if name == LOCATION and signal.category != "position":
            report.error("not-a-position", f"{name!r} as {signal.category!r}", at.key("category"), 'write category = "position"')
        _own_unit(name, signal.unit, at.key("unit"), report)


def _own_unit(name: str, unit: str, at: At, report: Report) -> None:
    """What the agent itself counts with has to be in a unit that it can convert; where none is written it takes its own."""
    own = UNITS.get(name)
    if own is not None and not unit:
        report.warning("unit-missing", f"{name!r} has no unit", at, f'write unit = "{own}"; it is taken for that')
    elif own is not None and conversion(unit, own) is None:
        report.error("unit", f"{name!r} in {unit!r}", at, f"write {own}, or a unit that can become it")


def _purposes(catalogue: Catalogue, report: Report) -> None:
    for name, purpose in catalogue.purposes.items():
        at = At("purposes.toml").key("purposes").key(name)
        if not DPV_TERM.match(purpose.dpv):
            report.error(
                "dpv",
                f"{purpose.dpv!r} is no term",
                at.key("dpv"),
                "write a purpose of the Data Privacy Vocabulary, such as RequestedServiceProvision",
            )
        if duration_s(purpose.max_keep) <= 0:
            report.error("no-end", "keeps nothing", at.key("max_keep"), "write a duration above 0")


def _items(catalogue: Catalogue, report: Report, broken: Collection[str]) -> None:
    used = {stream.consent for file in catalogue.services.values() for stream in file.streams}
    for name, item in catalogue.items.items():
        at = At("consent.toml").key("items").key(name)
        term_s = duration_s(item.max_term)
        if term_s <= 0:
            report.error("no-end", "ends at once", at.key("max_term"), "write a duration above 0")
        if (item.sensitive or item.category == "position") and term_s > SENSITIVE_TERM_S_MAX:
            report.error("term-too-long", f"a sensitive item for {item.max_term}", at.key("max_term"), "at most 12 months: 365d")
        if name not in used and not any(file.startswith("services/") for file in broken):
            report.warning("unused", f"no stream asks for {name!r}", at, "remove it, or name it as a stream's consent")


def _packages(catalogue: Catalogue, report: Report, broken: Collection[str]) -> None:
    known = catalogue.services.keys() | {file[len("services/") : -len(".toml")] for file in broken if file.startswith("services/")}
    for name, package in catalogue.packages.items():
        at = At("packages.toml").key("packages").key(name)
        if name == "none":
            report.error("package-name", "a package called none", at, "choose another name: none means no package")
        for index, service in enumerate(package.services):
            if service not in known:
                report.error(
                    "unknown-service",
                    f"no service {service!r}",
                    at.key("services").item(index),
                    "write services/NAME.toml, or correct the name",
                )


def _events(catalogue: Catalogue, report: Report, broken: Collection[str]) -> None:
    used = {trigger for file in catalogue.services.values() for stream in file.streams for trigger in stream.triggers}
    for name, event in catalogue.events.items():
        at = At("events.toml").key("events").key(name)
        _condition(event.when, at.key("when"), catalogue, report, broken)
        if event.recent is not None:
            _condition(event.recent.when, at.key("recent").key("when"), catalogue, report, broken)
        if f"event:{name}" not in used and not broken:
            report.warning("unused", f"no stream waits for event {name!r}", at, f'remove it, or write triggers = ["event:{name}"]')


def _condition(text: str, at: At, catalogue: Catalogue, report: Report, broken: Collection[str]) -> None:
    try:
        signals = parse(text).signals
    except ConfigError as error:
        report.error("condition", f"{error.what}: {error.where}", at, error.hint)
        return
    for name in sorted(signals - catalogue.signals.keys()):
        if "signals.toml" not in broken:
            report.error("unknown-signal", f"no signal {name!r}", at, "declare it in signals.toml, or correct the name")


def _services(catalogue: Catalogue, report: Report, broken: Collection[str]) -> None:
    packaged = {service for package in catalogue.packages.values() for service in package.services}
    for stem, file in catalogue.services.items():
        at = At(f"services/{stem}.toml")
        if file.service.id != stem:
            report.error(
                "service-name", f"service {file.service.id!r} in {stem}.toml", at.key("service").key("id"), "name the file as the service"
            )
        if file.service.in_every_package and stem in packaged:
            report.warning("package-twice", f"{stem!r} is in every package and in one", at.key("service"), "take it out of packages.toml")
        if not file.service.in_every_package and stem not in packaged and "packages.toml" not in broken:
            report.warning(
                "no-package",
                f"no package contains {stem!r}",
                at.key("service"),
                "add it to packages.toml, or write in_every_package = true",
            )
        seen: set[str] = set()
        for index, stream in enumerate(file.streams):
            view = StreamView(catalogue, broken, stem, stream, at.key("stream").item(index), report)
            if stream.id in seen:
                report.error("stream-twice", f"two streams {stream.id!r}", view.at.key("id"), "give each its own id")
            seen.add(stream.id)
            for rule in STREAM_RULES:
                rule(view)


def _policies(catalogue: Catalogue, report: Report, broken: Collection[str]) -> None:
    for version, policy in catalogue.policies.items():
        at = At(f"policies/{version}/policy.toml")
        for index, category in enumerate(policy.categories):
            if category not in get_args(Category):
                report.error(
                    "category", f"no category {category!r}", at.key("categories").item(index), f"one of {', '.join(get_args(Category))}"
                )
        if not policy.contact.strip():
            report.error("no-contact", "no contact", at.key("contact"), "write where a person can ask and complain (R60)")
    if catalogue.policies and not broken:
        latest = list(catalogue.policies)[-1]
        _named_in_policy(catalogue, catalogue.policies[latest], At(f"policies/{latest}/policy.toml"), report)


def _named_in_policy(catalogue: Catalogue, policy: Policy, at: At, report: Report) -> None:
    """Warns of what the newest notice does not name: streams that need it would be refused with `policy`."""
    streams = [stream for file in catalogue.services.values() for stream in file.streams if stream.basis in ("contract", "consent")]
    kinds = {signal.id for stream in streams for signal in stream.signals} & catalogue.signals.keys()
    wanted = {
        "purposes": ({stream.purpose for stream in streams}, policy.purposes),
        "recipients": ({stream.recipient for stream in streams}, policy.recipients),
        "categories": ({str(catalogue.signals[name].category) for name in kinds}, policy.categories),
    }
    for key, (needed, named) in wanted.items():
        for name in sorted(needed - set(named)):
            report.warning(
                "not-in-policy", f"{key} do not name {name!r}", at.key(key), "its streams are refused until a policy version names it"
            )
