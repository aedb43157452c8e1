"""What `--consent` says: accept the policy or not, and which items the one driver of a run grants."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from agent.catalogue.types import Catalogue, duration_s
from agent.consent.ledger import Ledger
from agent.errors import ConfigError, UsageError
from agent.limits import SENSITIVE_TERM_S_MAX
from agent.policy.versions import ordered

DRIVER = "driver"
"""The adult profile that a replay, the bench and `plan --consent` confirm."""
UNVERSIONED = "unversioned"
"""The policy version of a catalogue that ships none."""


class GrantEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of [grants]. Without `until`: for the item's `max_term`."""

    state: Literal["NOT_SET", "NO", "IN_VEHICLE", "YES"]
    until: datetime | None = None


class GrantsFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A --consent file."""

    grants: dict[str, GrantEntry] = {}


@dataclass(frozen=True, slots=True)
class Choice:
    """`entries` None: every item YES for the whole run, whatever its `max_term`."""

    accepted: bool
    entries: dict[str, GrantEntry] | None


def read_choice(text: str) -> Choice:
    """The choice that `all`, `none`, `unaccepted` or a file's name stands for."""
    if text in ("all", "none", "unaccepted"):
        return Choice(text != "unaccepted", None if text == "all" else {})
    try:
        return Choice(True, msgspec.convert(tomllib.loads(Path(text).read_text(encoding="utf-8")), GrantsFile).grants)
    except OSError as error:
        raise UsageError("no such consent file", text, "say all, none, unaccepted or name a TOML file with [grants]") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"not a consent file: {error}", text, 'write [grants] and "item" = { state = "YES", until = DATE }') from error


def apply_choice(choice: Choice, ledger: Ledger, catalogue: Catalogue, now_ms: int) -> list[str]:
    """Writes the choice into the ledger for the profile `driver`. Notes for people: what was cut, what was left out."""
    ledger.add_profile(DRIVER)
    if not choice.accepted:
        return []
    version = ordered(catalogue.policies)[-1] if catalogue.policies else UNVERSIONED
    ledger.accept_policy(version, "command line")
    entries = choice.entries if choice.entries is not None else {item: GrantEntry(state="YES") for item in catalogue.items}
    notes = []
    for item, entry in sorted(entries.items()):
        declared = catalogue.items.get(item)
        if declared is None:
            raise ConfigError(f"no consent item {item}", "[grants]", f"use one of {', '.join(sorted(catalogue.items))}")
        if entry.state == "NOT_SET":
            continue
        term_s = SENSITIVE_TERM_S_MAX if choice.entries is None else duration_s(declared.max_term)
        until_ms = _ms(entry.until) if entry.until else now_ms + term_s * 1000
        if until_ms <= now_ms and entry.state != "NO":
            notes.append(f"{item}: its end has passed before the run begins")
        grant = ledger.grant(
            DRIVER,
            item,
            until_ms=None if entry.state == "NO" else until_ms,
            policy=version,
            method="command line",
            max_term_s=term_s,
            state=entry.state,
            sensitive=declared.sensitive,
            past=True,
        )
        if grant.until_ms is not None and entry.until and grant.until_ms < until_ms:
            notes.append(f"{item}: the end was cut to the longest term, {declared.max_term}")
    return notes


def _ms(moment: datetime) -> int:
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return int(aware.timestamp() * 1000)
