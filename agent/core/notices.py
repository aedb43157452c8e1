"""Telling recipients that a grant has ended: what they hold of it has lost its basis (docs/formats.md 2, R30).

Promises: whoever got a message with an identity under a grant is told, once it is withdrawn, replaced by a no or over, also
across a crash at any step (then perhaps twice, which says the same); nobody else is, and nobody who cannot know whose the
messages were. What is remembered for it: profile, item, recipient and streams, until the notice is a record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from agent.consent.state import Facts
from agent.model import Plan
from agent.storage.memory import MemoryStore

PREFIX = "shared/"


@dataclass(frozen=True, slots=True)
class Ended:
    """A grant that has ended, and one recipient that got something under it. `streams`: full names; `key`: where that stands."""

    recipient: str
    streams: tuple[str, ...]
    key: str


@dataclass(slots=True)
class Notices:
    """Who holds what under which grant."""

    memory: MemoryStore
    _known: dict[str, set[str]] = field(default_factory=dict)

    def shared(self, profile_id: str, item: str, recipient: str, stream: str) -> None:
        """A message of `stream` under this profile's grant of `item` reached `recipient`. Written once for each."""
        key = f"{PREFIX}{profile_id}/{item}/{recipient}"
        known = self._known.setdefault(key, set(self._streams(key)))
        if stream not in known:
            self.memory.set(key, "\n".join(sorted({*known, stream})).encode())
            known.add(stream)

    def ended(self, facts: Facts, plan: Plan) -> Iterator[Ended]:
        """Everything that somebody holds of a grant that does not stand any more."""
        items = {(profile.id, grant.item): grant for (name, _), grant in facts.grants.items() if (profile := facts.profiles.get(name))}
        for key in self.memory.keys(PREFIX):
            profile_id, item, recipient = key.removeprefix(PREFIX).split("/")
            grant = items.get((profile_id, item))
            if grant is None or grant.ref not in plan.carried:
                yield Ended(recipient, self._streams(key), key)

    def told(self, ended: Ended) -> None:
        """The notice is a record now."""
        self.memory.delete(ended.key)
        self._known.pop(ended.key, None)

    def _streams(self, key: str) -> tuple[str, ...]:
        return tuple((self.memory.get(key) or b"").decode().split())
