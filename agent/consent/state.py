"""What stands, replayed from ledger entries: profiles, grants, acknowledged policy, package, switches. Pure.

Promises: the same entries give the same facts, read at once or bit by bit; an entry that cannot be read any more
(its profile was erased) says nothing; a grant counts only for the profile that gave it. Must never: read a clock, a
file or a key, or invent a default that permits something.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal, TypeVar, get_args

from agent.errors import IntegrityError
from agent.storage.chain import Entry

State = Literal["NOT_SET", "NO", "IN_VEHICLE", "YES"]
"""W3C VISS: only YES lets data leave the vehicle; IN_VEHICLE lets it be used on board; cancelling returns to NOT_SET."""
Kind = Literal["adult", "minor"]
GUEST = "guest"
"""Whoever drives without being confirmed. Holds no grant and is no profile of the ledger."""


@dataclass(frozen=True, slots=True)
class Grant:
    """The latest word of one profile on one item. `entry` is the ledger's number of it; times in ms since the epoch.

    `until_ms` is the first moment at which it no longer stands; `trip` the only trip in which it stands. One of both
    is set where the state is YES or IN_VEHICLE. `policy` is the version under which it was given.
    """

    item: str
    state: State
    profile: str
    entry: int
    given_ms: int
    until_ms: int | None
    trip: str | None
    policy: str

    @property
    def ref(self) -> str:
        """The basis reference that records and disclosures carry."""
        return ref_of(self.entry)


@dataclass(frozen=True, slots=True)
class Profile:
    """Who drives. `id` is 32 hex digits. `guardian`: a reference that the operator signed, verified; else None.

    Signed references do not exist yet: whatever text was entered, `guardian` stays None (see `Ledger.add_profile`).
    """

    name: str
    id: str
    kind: Kind
    guardian: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """What the plan asks of the ledger. `grants` by (profile name, item), the latest word each, also NOT_SET and NO.

    `policy`: the version acknowledged last, None for none; `policy_entry` its number. `head`: number of the last entry
    that was read. `confirmed`: (profile name, trip) of the last confirmation, which counts for that trip only.
    `removed`: ids of removed profiles, whose keys must not exist any more.
    """

    grants: Mapping[tuple[str, str], Grant] = field(default_factory=lambda: MappingProxyType({}))
    profiles: Mapping[str, Profile] = field(default_factory=lambda: MappingProxyType({}))
    policy: str | None = None
    package: str | None = None
    services_off: frozenset[str] = frozenset()
    head: int = 0
    policy_entry: int | None = None
    confirmed: tuple[str, str] | None = None
    removed: frozenset[str] = frozenset()


NOTHING = Facts()


def ref_of(entry: int) -> str:
    """The basis reference of a ledger entry."""
    return f"ledger:{entry}"


def stands(grant: Grant, now_ms: int, trusted: bool, live_trip: str | None) -> bool:
    """Whether data taken under the grant may still be kept and sent at `now_ms`.

    Not for a state other than YES, outside its trip, or from `until_ms` on. With an untrusted clock an end is undecidable: the
    grant goes on standing for what is buffered already. (Whether it admits anything new is the plan's to say.)
    """
    if grant.state != "YES":
        return False
    if grant.trip is not None:
        return grant.trip == live_trip
    return grant.until_ms is not None and (not trusted or now_ms < grant.until_ms)


def driver_of(facts: Facts, trip: str | None) -> str:
    """Who was confirmed for this trip; between trips, who was for the last one: nobody else has sat here since. Else a guest."""
    if facts.confirmed is None or (trip is not None and facts.confirmed[1] != trip):
        return GUEST
    return facts.confirmed[0]


def replay(entries: Iterable[Entry], facts: Facts = NOTHING) -> Facts:
    """`facts` and then `entries`, in their order. Raises IntegrityError naming an entry that is sealed but makes no sense."""
    draft = _Draft(facts)
    for entry in entries:
        draft.head = entry.n
        if entry.body is not None:
            APPLY[_field(entry, "kind", str)](draft, entry)
    return draft.facts()


class _Draft:
    """Facts while they are being replayed."""

    def __init__(self, facts: Facts) -> None:
        self.base, self.head = facts, facts.head
        self.grants, self.profiles = dict(facts.grants), dict(facts.profiles)
        self.services_off = set(facts.services_off)

    def facts(self) -> Facts:
        return replace(
            self.base,
            grants=MappingProxyType(self.grants),
            profiles=MappingProxyType(self.profiles),
            services_off=frozenset(self.services_off),
            head=self.head,
        )

    def name_of(self, profile_id: str) -> str | None:
        return next((profile.name for profile in self.profiles.values() if profile.id == profile_id), None)

    def drop(self, name: str) -> None:
        self.profiles.pop(name, None)
        self.grants = {key: grant for key, grant in self.grants.items() if key[0] != name}
        if self.base.confirmed is not None and self.base.confirmed[0] == name:
            self.base = replace(self.base, confirmed=None)


def _grant(draft: _Draft, entry: Entry) -> None:
    _set(draft, entry, _choice(entry, "state", get_args(State)), _field(entry, "policy", str))


def _withdraw(draft: _Draft, entry: Entry) -> None:
    _set(draft, entry, "NOT_SET", "")


def _set(draft: _Draft, entry: Entry, state: State, policy: str) -> None:
    name = draft.name_of(entry.subject.hex())
    if name is None:
        return
    until_ms, trip = _optional(entry, "until_ms", int), _optional(entry, "trip", str)
    item = _field(entry, "item", str)
    draft.grants[name, item] = Grant(item, state, name, entry.n, _field(entry, "t_ms", int), until_ms, trip, policy)


def _profile_add(draft: _Draft, entry: Entry) -> None:
    # A `guardian` in the entry is what somebody typed. Profile.guardian stays None until a signed reference is verified here.
    name = _field(entry, "name", str)
    draft.drop(name)
    draft.profiles[name] = Profile(name, entry.subject.hex(), _choice(entry, "class", get_args(Kind)))


def _profile_use(draft: _Draft, entry: Entry) -> None:
    name = draft.name_of(entry.subject.hex()) or GUEST
    draft.base = replace(draft.base, confirmed=(name, _field(entry, "trip", str)))


def _profile_remove(draft: _Draft, entry: Entry) -> None:
    profile_id = _field(entry, "profile", str)
    draft.base = replace(draft.base, removed=draft.base.removed | {profile_id})
    name = draft.name_of(profile_id)
    if name is not None:
        draft.drop(name)


def _policy_accept(draft: _Draft, entry: Entry) -> None:
    draft.base = replace(draft.base, policy=_field(entry, "version", str), policy_entry=entry.n)


def _entitlement(draft: _Draft, entry: Entry) -> None:
    draft.base = replace(draft.base, package=_optional(entry, "package", str))


def _service(draft: _Draft, entry: Entry) -> None:
    name = _field(entry, "service", str)
    if _field(entry, "on", bool):
        draft.services_off.discard(name)
    else:
        draft.services_off.add(name)


APPLY: Mapping[str, Callable[[_Draft, Entry], None]] = {
    "grant": _grant,
    "withdraw": _withdraw,
    "profile_add": _profile_add,
    "profile_use": _profile_use,
    "profile_remove": _profile_remove,
    "policy_accept": _policy_accept,
    "entitlement": _entitlement,
    "service": _service,
}
"""What each kind of entry changes; the keys are the kinds of docs/formats.md 5."""


T = TypeVar("T")


def _optional(entry: Entry, key: str, kind: type[T]) -> T | None:
    value = (entry.body or {}).get(key)
    if value is None or type(value) is kind:
        return value
    raise IntegrityError(f"entry {entry.n} of the ledger has no valid {key}", "ledger.db", "report it as a fault of the program")


def _field(entry: Entry, key: str, kind: type[T]) -> T:
    value = _optional(entry, key, kind)
    if value is None:
        raise IntegrityError(f"entry {entry.n} of the ledger lacks {key}", "ledger.db", "report it as a fault of the program")
    return value


def _choice(entry: Entry, key: str, choices: tuple[T, ...]) -> T:
    value = _field(entry, key, str)
    for choice in choices:
        if choice == value:
            return choice
    raise IntegrityError(f"entry {entry.n} of the ledger has no valid {key}", "ledger.db", "report it as a fault of the program")
