"""The ledger: who said what and when, as entries that are added and never changed.

Owns: table `ledger` and the profiles' keys. Promises: an entry is durable when the method returns; withdrawing asks for
less than granting and needs no trusted clock; a grant has an end or a trip; `facts` come only from a chain that
verified to its end. Must never: change an entry, grant for a guest, or let a removed profile's key live on.

Terms of an entry follow ISO/IEC TS 27560 and the W3C Data Privacy Vocabulary (ConsentGiven, RenewedConsentGiven,
ConsentRefused, ConsentWithdrawn); states are those of W3C VISS. Acknowledging a policy is no consent and carries no such term.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import sqlite_utils

from agent.clock import Clock
from agent.consent.state import APPLY, GUEST, NOTHING, Facts, Grant, Kind, Profile, State, replay
from agent.errors import IntegrityError, UsageError
from agent.limits import SENSITIVE_TERM_S_MAX
from agent.storage.chain import DEVICE, SUBJECT_BYTES, Chain, ChainKeys, Draft, Entry

PROFILES_MAX = 32
"""Each has a key in the key block, whose slots have a fixed size."""
TEXT_MAX = 200
NS_PER_MS = 1_000_000
_WITHOUT_END = ("NO",)


class Ledger:
    """The ledger of one device. `new_id(16)` makes a profile's id: random, or from a seed where a run must repeat exactly.

    `closed`: nothing may be said, for this one stands for a ledger that cannot be read, and would not know a refusal that it holds.
    """

    def __init__(
        self,
        db: sqlite_utils.Database,
        keyring: ChainKeys,
        clock: Clock,
        new_id: Callable[[int], bytes] = os.urandom,
        *,
        closed: bool = False,
    ) -> None:
        self._keys, self._clock, self._new_id = keyring, clock, new_id
        self._chain = Chain(db, "ledger", keyring, APPLY)
        self._facts: Facts = NOTHING
        self._last: Entry | None = None
        self.closed = closed
        self.revision = 0
        """Grows with every entry that this object appends; one process writes, so it tells of every change without a read."""

    def facts(self) -> Facts:
        """What stands. Reads only what is new. Raises IntegrityError where the chain breaks: then nothing may count as standing."""
        head = self._chain.head()
        if self._last is not None and (self._last.n, self._last.hash) == (head.n, head.hash) and not self._erased():
            return self._facts
        if self._last is not None and (self._erased() or not self._chain.holds(self._last)):
            self._facts, self._last = NOTHING, None  # a profile's key is gone, or what was read was rolled back
        try:
            self._facts = replay(self._reading(), self._facts)
        except BaseException:
            self._facts, self._last = NOTHING, None  # so that nothing goes on from half of it
            raise
        for profile_id in self._facts.removed:  # the key of a removal that a crash interrupted
            self._destroy(bytes.fromhex(profile_id))
        return self._facts

    def grant(  # noqa: PLR0913  # an entry has this many fields, all by name
        self,
        profile: str,
        item: str,
        *,
        policy: str,
        method: str,
        max_term_s: float,
        until_ms: int | None = None,
        trip: str | None = None,
        state: State = "YES",
        sensitive: bool = True,
        notice: bytes = b"",
        past: bool = False,
    ) -> Grant:
        """Records a grant (or a refusal, `state` NO) and returns it; an end beyond `max_term_s` from now is cut to that.

        `notice`: SHA-256 of the text that was shown. `past`: an end that is over is written as it is (a run on recorded time).
        `sensitive`: as the catalogue says; assumed where the caller does not say.
        Raises UsageError: no such profile; neither end nor trip, or both; an end in the past; an end while the clock is not
        trusted; a sensitive item for a minor without a verified guardian reference.
        """
        known = self._profile(profile)
        if state == "NOT_SET":
            raise UsageError("NOT_SET is no grant", item, "withdraw the item")
        if known.kind == "minor" and known.guardian is None and sensitive and state not in _WITHOUT_END:
            raise UsageError("a minor's profile has no sensitive items", profile, "a guardian reference signed by the operator is needed")
        if state not in _WITHOUT_END:
            until_ms = self._end(item, until_ms, trip, min(max_term_s, SENSITIVE_TERM_S_MAX) if sensitive else max_term_s, past=past)
        _checked(item, "an item")
        _checked(method, "a method")
        before = self.facts().grants.get((profile, item))
        self._append(
            "grant",
            bytes.fromhex(known.id),
            item=item,
            state=state,
            until_ms=until_ms,
            trip=trip,
            policy=policy,
            method=method,
            dpv=_dpv(state, before),
            notice=notice or None,
        )
        return self.facts().grants[profile, item]

    def withdraw(self, profile: str, item: str) -> list[str]:
        """Basis references that end with it; what is buffered under them must be forgotten. Never granted: none, and no entry."""
        grant = self.facts().grants.get((profile, item))
        if grant is None or grant.state == "NOT_SET":
            return []
        self._append("withdraw", bytes.fromhex(self._profile(profile).id), item=item, dpv="ConsentWithdrawn")
        return [] if grant.state == "NO" else [grant.ref]

    def add_profile(self, name: str, kind: Kind = "adult", guardian: str | None = None) -> None:
        """Adds a driver, with a key of their own. `guardian` is kept as what was said and counts for nothing until verified.

        Guardian references signed by the operator are checked nowhere yet; the place for it is `state._profile_add`.
        Raises UsageError: the name exists, is `guest`, or there are too many.
        """
        profiles = self.facts().profiles
        if name in profiles or name == GUEST:
            raise UsageError(f"a profile {name} exists", "profile add", "choose another name")
        if len(profiles) >= PROFILES_MAX:
            raise UsageError(f"there are {PROFILES_MAX} profiles already", "profile add", "remove one first: modicum profile remove NAME")
        profile_id = self._new_id(SUBJECT_BYTES)
        _checked(name, "a profile's name")
        self._keys.profile_key(profile_id, create=True)
        self._append("profile_add", profile_id, **{"name": name, "class": kind, "guardian": guardian})

    def use_profile(self, name: str, trip: str) -> None:
        """Confirms who drives this trip. `guest` is always possible. Saying it again adds no entry."""
        if self.facts().confirmed != (name, trip):
            subject = DEVICE if name == GUEST else bytes.fromhex(self._profile(name).id)
            self._append("profile_use", subject, trip=_checked(trip, "a trip"))

    def remove_profile(self, name: str) -> list[str]:
        """Destroys the profile's key: its entries here and in the audit log become unreadable. Basis references that end.

        The entry comes first; a crash before the key is gone is made up for by the next `facts`.
        """
        known = self._profile(name)
        refs = [grant.ref for grant in self.facts().grants.values() if grant.profile == name and grant.state in ("YES", "IN_VEHICLE")]
        self._append("profile_remove", DEVICE, profile=known.id)
        self._destroy(bytes.fromhex(known.id))
        self.facts()
        return refs

    def accept_policy(self, version: str, method: str, *, notice: bytes = b"", language: str = "") -> None:
        """Records that a policy version was acknowledged; `notice` is the SHA-256 of the text shown, in `language`."""
        _checked(version, "a version")
        _checked(method, "a method")
        self._append("policy_accept", DEVICE, version=version, method=method, notice=notice or None, language=language or None)

    def set_package(self, name: str | None) -> None:
        """Records which package the car's owner has; None for none. Saying it again adds no entry."""
        if self.facts().package != name:
            self._append("entitlement", DEVICE, package=name)

    def set_service(self, name: str, on: bool) -> None:
        """Records that the driver switched a service off or on again. Saying it again adds no entry."""
        if (name in self.facts().services_off) == on:
            self._append("service", DEVICE, service=_checked(name, "a service"), on=on)

    def subject_of(self, ref: str) -> str:
        """Id of the profile (32 hex digits) whose word `ref` is; empty for the device, for no ledger reference, for no such entry."""
        table, _, number = ref.partition(":")
        return self._chain.subject_at(int(number)).hex() if table == "ledger" and number.isascii() and number.isdigit() else ""

    def history(self) -> list[dict[str, object]]:
        """All entries for people, oldest first. Those of an erased profile say only that they are erased."""
        names: dict[bytes, str] = {}
        return [_told(entry, names) for entry in self._chain.entries()]

    def verify(self) -> None:
        """Raises IntegrityError naming the entry where the chain breaks. What it cannot show stands in `agent.storage.chain`."""
        self._chain.verify()

    def _append(self, kind: str, subject: bytes, **fields: object) -> int:
        if self.closed:
            raise IntegrityError(
                "the ledger is not what was written, so nothing can be granted or accepted", "ledger.db", "see modicum doctor"
            )
        body = {name: value for name, value in fields.items() if value is not None}
        now = {"kind": kind, "t_ms": self._clock.now_ns() // NS_PER_MS, "trusted": self._clock.trusted()}
        number = self._chain.append([Draft(subject, now | body)])[0]
        self.revision += 1
        return number

    def _end(self, item: str, until_ms: int | None, trip: str | None, term_s: float, *, past: bool) -> int | None:
        if (until_ms is None) == (trip is None):
            raise UsageError("a grant needs an end or a trip, one of both", item, "say --until DATE or --trip")
        if until_ms is None:
            _checked(str(trip), "a trip")
            return None
        if not self._clock.trusted():
            raise UsageError("the time is not known for sure, so an end cannot be kept", item, "grant for this trip: --trip")
        now_ms = self._clock.now_ns() // NS_PER_MS
        if until_ms <= now_ms and not past:
            raise UsageError("the end has passed already", item, "say a later --until DATE")
        return min(until_ms, now_ms + math.floor(term_s * 1000))

    def _profile(self, name: str) -> Profile:
        known = self.facts().profiles.get(name)
        if known is None:
            raise UsageError(f"no profile {name}", "ledger", "see modicum profile list, or add it: modicum profile add NAME")
        return known

    def _erased(self) -> bool:
        return any(self._keys.profile_key(bytes.fromhex(profile.id)) is None for profile in self._facts.profiles.values())

    def _destroy(self, profile_id: bytes) -> None:
        if self._keys.profile_key(profile_id) is not None:
            self._keys.destroy_profile(profile_id)

    def _reading(self) -> Iterator[Entry]:
        for entry in self._chain.entries(self._last):
            self._last = entry
            yield entry


def _checked(text: str, what: str) -> str:
    if not text or len(text) > TEXT_MAX or not text.isprintable():
        raise UsageError(f"{what} is 1 to {TEXT_MAX} printable characters", "ledger", "say it in other words")
    return text


def _dpv(state: State, before: Grant | None) -> str:
    if state == "NO":
        return "ConsentRefused"
    renewed = before is not None and before.state in ("YES", "IN_VEHICLE")
    return "RenewedConsentGiven" if renewed else "ConsentGiven"


def _told(entry: Entry, names: dict[bytes, str]) -> dict[str, object]:
    if entry.body is None:
        return {"entry": entry.n, "kind": "erased"}
    if entry.body["kind"] == "profile_add":
        names[entry.subject] = str(entry.body["name"])
    told: dict[str, object] = {"entry": entry.n, "profile": names.get(entry.subject, "")}
    for key, value in entry.body.items():
        told[key] = value.hex() if isinstance(value, bytes) else value
    told["t"] = iso(told.pop("t_ms"))
    if "until_ms" in told:
        told["until"] = iso(told.pop("until_ms"))
    return told


def iso(t_ms: object) -> str:
    """ISO 8601 in UTC, for people."""
    return datetime.fromtimestamp(int(str(t_ms)) / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
