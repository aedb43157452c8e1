"""Core: one owner of every mutation. Decision, collection, sealing, forgetting, delivery, in this order.

Sans-IO towards the devices and the link: the daemon (or the replay) feeds frames, fixes and link messages and carries
out what comes back. Only the loop thread may call it. Promises: nothing is collected that the plan of this moment does not
carry; what the ledger or the plan no longer permits is unreadable when the call that learned of it returns.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace

from agent.clock import STEP_NS
from agent.collect.decode import Decoder
from agent.collect.measure import own
from agent.collect.minimise import minimise
from agent.collect.pipeline import Pipeline
from agent.collect.request import Request
from agent.collect.transforms import Context
from agent.collect.trip import Trip
from agent.collect.zones import Zones
from agent.consent.state import GUEST, Facts, driver_of
from agent.core.deliver import Delivery
from agent.core.notices import Ended, Notices
from agent.core.parts import NS_PER_MS, Parts, Situation
from agent.core.unlocking import Unlocking
from agent.core.zoned import SealedMemory, zone_secret
from agent.errors import DeviceError, FindingsError, UsageError
from agent.model import Draft, Finding, Plan, Reading, Rule, Value
from agent.plan.compile import compile_plan
from agent.plan.inputs import PlanInputs
from agent.plan.notice import notice_rules
from agent.plan.standing import keeps, next_end_ms, on_request, streams
from agent.plan.subscribe import subscriptions
from agent.vss import SPEED, VIN, VOLTAGE
from hw.ports import Fix, Frame, Silence, Subscription

TRIP_KEY = "trip"
ZONES_PREFIX = "zones/"
EXPIRE_AGAIN_NS = 5_000_000_000
UNSAVED_MAX = 256
"""Drafts that wait in RAM while the disk takes nothing (full, failing); the oldest go first."""


@dataclass(slots=True)
class Core:
    """The state of a running agent.

    `resubscribe` is called with the subscriptions of each new plan and returns only when no frame of a withdrawn
    identifier can be delivered any more.
    """

    parts: Parts
    resubscribe: Callable[[tuple[Subscription, ...]], None]
    agent_signals: Callable[[], Mapping[str, Value]] = dict
    status: Callable[[], Mapping[str, object]] = dict
    plan: Plan = field(init=False)
    pipeline: Pipeline = field(init=False)
    decoder: Decoder = field(init=False)
    delivery: Delivery = field(init=False)
    notices: Notices = field(init=False)
    situation: Situation = field(init=False)
    unsaved: list[Draft] = field(default_factory=list)
    dropped: int = 0
    """Drafts that were given up because the disk took nothing."""
    trouble: Finding | None = None
    unlocking: Unlocking = field(default_factory=Unlocking)
    last_fix: Fix | None = field(default=None, repr=False)
    """The last epoch of the receiver, in RAM, also one without a position."""
    fixed_ns: int | None = None
    """When the receiver last had a position."""
    silent: dict[tuple[str, int], int] = field(default_factory=dict)
    """Buses and identifiers that are subscribed and fell silent, or never came, and since when that is told."""
    fixes: int = 0
    """Epochs, also those without a position."""
    _expire_ns: int = 0
    _trip_saved: bytes = b""
    _decided_for: object = None
    _ends_ms: int | None = None
    _profile_id: str | None = None
    _driver: str = GUEST

    def __post_init__(self) -> None:
        parts = self.parts
        trip = Trip(Zones(b"\x00" * 32, parts.memory, f"{ZONES_PREFIX}{GUEST}"), parts.new_id)
        known = parts.clock.trusted() or getattr(parts.clock, "continued", False)
        trip.resume(parts.memory.get(TRIP_KEY), parts.clock.now_ns(), trusted=known)
        self.situation, units = Situation(parts), parts.catalogue.units()
        self.pipeline = Pipeline(trip, parts.memory, parts.responder, parts.catalogue.events, self.agent_signals, units=units)
        self.pipeline.speed_from_gnss = SPEED not in self.situation.given
        self.notices = Notices(parts.memory)
        self.delivery = Delivery(
            parts.buffer,
            parts.audit,
            parts.ledger,
            parts.recipients,
            parts.keyring,
            parts.vin,
            parts.prefix,
            self.notices,
            {name: stream.consent for name, stream in streams(parts.catalogue) if stream.consent},
        )
        boot = bytes.fromhex(parts.clock.boot_id)
        self.pipeline.windows.boot_for = lambda recipient: self.delivery.told(recipient, boot)
        self.plan = Plan(id=b"", rules=(), refused=(), wanted={}, valid_until_ms=None)
        self.decoder = Decoder(parts.vehicle, frozenset(), {})
        self.decide()

    @property
    def trip(self) -> Trip:
        """The current trip."""
        return self.pipeline.trip

    @property
    def profile(self) -> str:
        """Who drives, as confirmed for this trip; else guest."""
        if self.parts.sole_driver is not None:
            return self.parts.sole_driver
        return driver_of(self.parts.ledger.facts(), self.trip.id) if self.trip.id is not None else GUEST

    def inputs(self) -> PlanInputs:
        """Everything that the decision of this moment is made from."""
        return self.situation.inputs(self.trip, self.profile)

    def decide(self) -> None:
        """Compiles the plan of this moment, swaps it in, forgets what may not stay."""
        facts, now_ms = self.parts.ledger.facts(), self.parts.clock.now_ns() // NS_PER_MS
        if self._driver != self.profile:
            self._driver = self.profile
            self.pipeline.end_events()
        self._ends_ms = next_end_ms(facts.grants, now_ms)
        plan = compile_plan(self.inputs())
        self._zones_of(facts, plan.zoned)
        if plan.id != self.plan.id:
            self.plan = plan
            counters = self.decoder.counters
            self.decoder = Decoder(self.parts.vehicle, frozenset(plan.wanted), self.parts.catalogue.units(), counters)
            self.pipeline.swap(plan, self.parts.clock.now_ns())
            self._keep_in_ram({rule.id for rule in plan.rules})
            wanted = self.wanted()
            asked = {(one.bus, one.can_id) for one in wanted}
            self.silent = {one: since_ns for one, since_ns in self.silent.items() if one in asked}
            self.resubscribe(wanted)
        self.plan = plan
        if self.pipeline.requests.open:
            self.pipeline.requests.withdraw({rule.id for rule in self._plan_for_asking().rules})
        self.delivery.serve(plan.rules)
        try:
            self._forget()
            for ended in self.notices.ended(facts, plan):
                self._tell(ended)
        except DeviceError:
            self._decided_for = None  # not certain: the next step decides, and forgets, again
            raise

    def ask(self, stream: str) -> Request:
        """Somebody in the car asks for `service.stream`: whoever drives, or between trips whoever drove last.

        Raises UsageError for a stream that is not for asking, FindingsError where it may not leave, with the reason.
        """
        known = sorted(name for name, one in streams(self.parts.catalogue) if on_request(one))
        if stream not in known:
            raise UsageError(f"{stream} cannot be asked for", "request", f"there are {', '.join(known)}")
        plan = self._plan_for_asking()
        rules = [rule for rule in plan.rules if rule.name == stream]
        if not rules:
            reason = next((no.reason for no in plan.refused if no.name == stream), "no rule comes from it")
            raise FindingsError(f"{stream} may not leave: {reason}", "request", "modicum explain says more")
        request = self.pipeline.ask(rules, self.parts.clock.now_ns())
        self.keep()
        return request

    def _plan_for_asking(self) -> Plan:
        who = self.parts.sole_driver or driver_of(self.parts.ledger.facts(), self.trip.id)
        return compile_plan(self.situation.inputs(self.trip, who))

    def frame(self, frame: Frame) -> None:
        """A frame that the gate delivered."""
        self.silent.pop((frame.bus, frame.can_id), None)
        readings = self.decoder.decode(frame)
        if readings and VIN in self.plan.wanted:
            if self.situation.compare(readings):
                self.decide()
            readings = [reading for reading in readings if reading.signal != VIN]  # it goes no further
        for reading in readings:
            if reading.signal == VOLTAGE:
                self.parts.power.hear(own(reading, self.pipeline.units), reading.t_ns)
        if readings:
            before = self._state()
            self.pipeline.read(readings)
            self._after(before)

    def silence(self, silence: Silence) -> None:
        """An identifier fell silent."""
        self.silent.setdefault((silence.bus, silence.can_id), silence.t_ns)
        signals = [
            name for name, source in self.parts.vehicle.sources.items() if (source.bus, source.can_id) == (silence.bus, silence.can_id)
        ]
        timeout_ns = min((self.plan.wanted[name].timeout_ns for name in signals if name in self.plan.wanted), default=0)
        if VOLTAGE in signals:
            self.parts.power.hear(None, silence.t_ns)
        before = self._state()
        self.pipeline.silence(signals, silence.t_ns - timeout_ns, silence.t_ns)
        self._after(before)

    def fix(self, fix: Fix) -> None:
        """An epoch of the receiver."""
        self.last_fix, self.fixes = fix, self.fixes + 1
        if fix.mode:
            self.fixed_ns = fix.t_ns
        before = self._state()
        self.pipeline.fix(fix)
        self._after(before)

    def ignite(self, on: bool, t_ns: int) -> None:
        """Ignition known from elsewhere than a mapped signal (GPIO; a replay without one)."""
        before = self._state()
        self.pipeline.ignite(on, t_ns)
        self._after(before)

    def step(self, settle_ns: int = 0) -> None:
        """Time passes: windows close, drafts become durable records, expired ones go.

        `settle_ns`: how long a frame may take from the bus to here; moments later than that are not over yet.
        """
        now_ns = self.parts.clock.now_ns()
        before = self._state()
        self.pipeline.advance(now_ns - settle_ns)
        self._after(before)
        self.keep()
        if self._due(now_ns):
            self.decide()
        self._save_trip()
        self._expire(now_ns)

    def may_go(self) -> bool:
        """Whether the device is not needed any more, as [power] says."""
        asked = bool(self.pipeline.requests.open)
        return self.parts.power.look(self.parts.clock.now_ns(), ignition=self.trip.ignition, asked=asked)

    def _expire(self, now_ns: int) -> None:
        """Destroys what has outlived its keep; a medium that fails is asked again after EXPIRE_AGAIN_NS only."""
        if now_ns < self._expire_ns:
            return
        self._expire_ns = now_ns + EXPIRE_AGAIN_NS
        self.delivery.forgotten(self.parts.buffer.expire(now_ns // NS_PER_MS))
        self._expire_ns = 0

    def leap(self, from_ns: int, to_ns: int, passed_ns: int) -> None:
        """The axis leapt, of which `passed_ns` really passed: nothing is made up for the gap, each identifier is told anew.

        What was collected before becomes records, of an untrusted time where the axis was moved and did not only go on. What is
        buffered keeps the rest of its life.
        """
        before, moved_ns = self._state(), to_ns - from_ns - passed_ns
        self.parts.power.leapt(to_ns)
        self.pipeline.leap(from_ns, to_ns, passed_ns)
        trusted = self.parts.clock.trusted() and abs(moved_ns) <= STEP_NS
        self.unsaved = [*self.unsaved, *self.pipeline.take(trusted=trusted)]
        self.delivery.hold_ns = {n: until + moved_ns for n, until in self.delivery.hold_ns.items()}
        self.keep()
        if abs(moved_ns) > STEP_NS:
            self._drop_unsaved(0)  # their end would be counted on an axis that is no more
        try:
            self.parts.keyring.rebase(moved_ns // NS_PER_MS)
        finally:  # in RAM it counts already
            self.resubscribe(())
            self.resubscribe(self.wanted())
            self._after(before)
            self.decide()
            self._save_trip()

    def wanted(self) -> tuple[Subscription, ...]:
        """The subscriptions of the plan in force."""
        return subscriptions(self.plan.wanted, self.parts.vehicle)

    def keep(self) -> None:
        """Makes the complete drafts durable."""
        self.unsaved = [*self.unsaved, *self.pipeline.take(trusted=self.parts.clock.trusted())]
        if not self.unsaved:
            return
        try:
            self.parts.buffer.append(self.unsaved)
        except DeviceError as error:
            self._drop_unsaved(UNSAVED_MAX)
            text = f"{error.what}; {len(self.unsaved)} records wait in memory, {self.dropped} were lost"
            self.trouble = Finding(code="buffer-not-written", severity="error", text=text, hint=error.hint)
            return
        self.unsaved, self.trouble = [], None
        self.delivery.fresh = True

    def rules_of(self, stream: str) -> list[Rule]:
        """The live rules of `service.stream`."""
        return [rule for rule in self.plan.rules if rule.name == stream]

    def _drop_unsaved(self, limit: int) -> None:
        """Gives up the oldest drafts beyond `limit`, and counts them."""
        over = max(0, len(self.unsaved) - limit)
        self.dropped += over
        self.unsaved = self.unsaved[over:]

    def _tell(self, ended: Ended) -> None:
        """Makes the notice a record, then forgets that it is owed; a crash in between says it twice."""
        parts, t_ns = self.parts, self.parts.clock.now_ns()
        for rule, value in notice_rules(ended.recipient, ended.streams, self.inputs()):
            context = Context(rule, self.trip, parts.responder, t_ns)
            sample = minimise(Reading(rule.signal, value, t_ns), rule, (), context)
            if sample is not None:
                boot = self.delivery.told(ended.recipient, bytes.fromhex(parts.clock.boot_id))
                parts.buffer.append([Draft((sample,), self.plan.id, boot, parts.clock.trusted())])
                self.delivery.fresh = True
        self.notices.told(ended)

    def _keep_in_ram(self, live: set[str]) -> None:
        """Samples in open windows, and drafts that could not be written yet, obey as what is stored does."""
        self.pipeline.windows.drop(live)
        kept = ((draft, tuple(sample for sample in draft.samples if sample.rule.id in live)) for draft in self.unsaved)
        self.unsaved = [replace(draft, samples=samples) for draft, samples in kept if samples]

    def _state(self) -> tuple[str | None, bool | None]:
        return self.trip.id, self.trip.ignition

    def _after(self, before: tuple[str | None, bool | None]) -> None:
        """A trip began or ended, or the ignition changed: decide anew at once, before the next frame."""
        if before == self._state():
            return
        if before[1] != self.trip.ignition:
            self.unlocking.lock()
        self.keep()  # what the trip said at its end rests on the rules of that trip
        if before[1] and not self.trip.ignition:
            self._keep_in_ram({rule.id for rule in self.plan.rules if rule.name not in self.plan.places})
        self.decide()
        self._save_trip()

    def _due(self, now_ns: int) -> bool:
        if self._ends_ms is not None and now_ns // NS_PER_MS >= self._ends_ms:
            return True
        facts = (self.parts.clock.trusted(), self.parts.ledger.revision)
        changed, self._decided_for = facts != self._decided_for, facts
        return changed

    def _forget(self) -> None:
        """What the plan does not keep, and positions while the ignition is off; offers of it first, for the disk may fail."""
        off = self.trip.ignition is False or self.trip.off_since_ns is not None or self.trip.id is None
        places = self.plan.places if off else frozenset[str]()

        def dead(stream: str, basis_ref: str) -> bool:
            return stream in places or not keeps(self.plan, stream, basis_ref)

        self.delivery.forgotten(self.delivery.doomed(dead))
        self.delivery.forgotten(self.parts.buffer.forget(dead))

    def _zones_of(self, facts: Facts, zoned: Collection[str]) -> None:
        """The zones of this trip's driver; those that the plan does not keep are forgotten."""
        kept = {ZONES_PREFIX + facts.profiles[name].id for name in zoned if name in facts.profiles}
        for name in self.parts.memory.keys(ZONES_PREFIX):
            if name not in kept:
                self.parts.memory.delete(name)
        if self.trip.zones.key not in kept:
            self.trip.zones.clear()
        current = facts.profiles.get(self.profile)
        if current is None or current.id == self._profile_id:
            return
        key = self.parts.keyring.profile_key(bytes.fromhex(current.id))
        if key is not None:
            self._profile_id = current.id
            memory = SealedMemory(self.parts.memory, key)
            self.trip.take_over(Zones(zone_secret(key), memory, ZONES_PREFIX + current.id, self.trip.zones.enabled))

    def _save_trip(self) -> None:
        state = self.trip.state()
        if state != self._trip_saved:
            self.parts.memory.set(TRIP_KEY, state)
            self._trip_saved = state
