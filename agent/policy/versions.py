"""Policy versions: their order, what a new one changes for whom, their texts. Pure but for reading a text.

A change is major (and what it touches needs a new grant) where a version adds a purpose, a category or a recipient, or
names another contact, which is another party to turn to and touches everything. Leaving something out is not major: the plan
refuses by itself what the acknowledged version does not name. What a file cannot say (a change of owner, of a right, of a
risk) is no version's field; it has to be published as a version with another contact or a new purpose.
Must never: treat an unknown version as unchanged.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from itertools import pairwise
from pathlib import Path

import msgspec

from agent.catalogue.types import Policy
from agent.errors import ConfigError, UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class Touched:
    """What a new version changed majorly. `everything`: every stream, whatever its purpose."""

    purposes: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    recipients: frozenset[str] = frozenset()
    everything: bool = False

    @property
    def major(self) -> bool:
        """Whether anything needs a new grant."""
        return self.everything or bool(self.purposes or self.categories or self.recipients)

    def touches(self, purpose: str, category: str, recipient: str) -> bool:
        """Whether a stream of these is among what changed."""
        return self.everything or purpose in self.purposes or category in self.categories or recipient in self.recipients


def touched(old: Policy, new: Policy) -> Touched:
    """What the step from `old` to `new` adds; empty for a version that says the same or less."""
    return Touched(
        purposes=frozenset(new.purposes) - frozenset(old.purposes),
        categories=frozenset(new.categories) - frozenset(old.categories),
        recipients=frozenset(new.recipients) - frozenset(old.recipients),
        everything=new.contact.strip() != old.contact.strip(),
    )


def effective(policy: Policy) -> date:
    """The day from which a version is in force. Raises ConfigError for something that is no date."""
    value = policy.effective
    try:
        if isinstance(value, datetime):
            return value.date()
        return value if isinstance(value, date) else date.fromisoformat(value)
    except (TypeError, ValueError) as error:
        raise ConfigError("effective is no date", f"policies/{policy.version}/policy.toml", "write it as 2026-11-01") from error


def ordered(policies: Mapping[str, Policy]) -> list[str]:
    """Versions, oldest first, by effective day and then by name. Raises ConfigError."""
    return sorted(policies, key=lambda version: (effective(policies[version]), version))


def stands_since(  # noqa: PLR0913, PLR0917  # two versions and the three things by which a stream is named
    policies: Mapping[str, Policy], granted: str, current: str, purpose: str, category: str, recipient: str
) -> bool:
    """Whether a grant given under `granted` still counts under `current` for a stream of this purpose, category and recipient.

    Each step between the two counts, so that what was taken away and added again has to be granted again. Undecidable means no:
    an unknown version, one that is older than the one it was granted under, or versions that cannot be put in order.
    """
    if granted == current:
        return True
    try:
        versions = ordered(policies)
    except ConfigError:
        return False
    if granted not in versions or current not in versions:
        return False
    first, last = versions.index(granted), versions.index(current)
    steps = pairwise(versions[first : last + 1])
    return first < last and not any(touched(policies[old], policies[new]).touches(purpose, category, recipient) for old, new in steps)


def text_of(policy: Policy, folder: Path, language: str = "en") -> str:
    """The text that a version shows, from `folder`/<version>/; English where it has none in `language`.

    Raises UsageError for an unreadable file, ConfigError for a file name that leaves the version's folder.
    """
    name = msgspec.structs.asdict(policy.text).get(language) or policy.text.en
    where = f"policies/{policy.version}"
    if any(Path(part).name != part or part == ".." for part in (name, policy.version)):
        raise ConfigError("the text lies outside its version's folder", where, "name a file that lies beside policy.toml")
    try:
        return (folder / policy.version / name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError("the text cannot be read", f"{where}/{name}", "put it beside policy.toml, in UTF-8") from error


def notice_hash(text: str) -> bytes:
    """SHA-256 of a text as it was shown: what an entry of the ledger keeps of it."""
    return hashlib.sha256(text.encode()).digest()
