"""What the agent says of itself: counters and findings, never a value or a place. Feeds `Modicum.Health.*` and `status`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from agent.clock import NS
from agent.consent.state import stands
from agent.core.assembly import Assembled
from agent.core.core import Core
from agent.core.loop import Loop
from agent.core.memory_use import peak_rss_kib
from agent.health.buses import GONE_S, bus, receiver
from agent.health.device import clock
from agent.health.facts import BusFacts, ClockFacts, ReceiverFacts
from agent.health.going import power
from agent.health.reach import broker, offline, waiting
from agent.model import Finding, Value
from agent.vss import HEALTH

if TYPE_CHECKING:
    from hw.can.bus import BusReader, Gap
    from hw.gnss.source import FixSource

ERRORS_S = 1.0
"""From one count of errors to the next: each is found with its texts, and the number is asked for in each turn of the loop."""

QUIET_NS = 10 * NS
"""A wanted message that has been told to be silent for so long is quiet; right after the start each is until it comes."""


@dataclass(slots=True)
class Numbers:
    """Reads the counters of everything that runs."""

    readers: Sequence[BusReader]
    assembled: Assembled
    core: Core | None = field(default=None)
    loop: Loop | None = field(default=None)
    receiver: FixSource | None = field(default=None)
    at_rest: str = "weak"
    quota_bytes: int = 0
    settings_changed: Callable[[], bool] = lambda: False
    _began_s: float = field(init=False)
    _counted: tuple[float, int] | None = None

    def __post_init__(self) -> None:
        self._began_s = time.monotonic()

    def attach(self, core: Core, loop: Loop) -> None:
        """What there is to count is complete now."""
        self.core, self.loop = core, loop
        core.status = self.status

    def findings(self) -> list[Finding]:
        """What a person should know: from the start, from the buffer, from devices that do not answer."""
        found = [*self.assembled.findings, *self.assembled.parts.buffer.findings()]
        troubles = (self.core.trouble if self.core else None, self.loop.trouble if self.loop else None)
        found += [trouble for trouble in troubles if trouble is not None]
        if self.core is not None and self.core.situation.vin_holds is False:
            text = "the bus names another car than [vehicle]: nothing that carries the VIN is collected; an emergency call names it still"
            hint = "correct [vehicle]: vin_file or vin, or the platform; then sudo systemctl restart modicum.target"
            found.append(Finding(code="vin-differs", severity="error", text=text, hint=hint))
        if self.settings_changed():
            text = "agent.toml is not what modicum-core started with, and it goes on with that"
            found.append(Finding(code="settings-old", severity="warning", text=text, hint="sudo systemctl restart modicum.target"))
        found += power(self._power())
        if (gnss := self.receiver_facts()) is not None and gnss.watched_s >= GONE_S:
            found += receiver(gnss).findings
        for one in self.bus_facts():
            found += bus(one).findings
        found += clock(self.clock_facts()).findings
        for name, row in self._lanes().items():
            found += broker(facts).findings if (facts := offline(name, row)) else ()
        return [*found, *waiting(self._waits(), self.quota_bytes)]

    def _power(self) -> dict[str, bool | float | None] | None:
        return self.assembled.parts.power.waits(self.assembled.clock.now_ns())

    def bus_facts(self) -> list[BusFacts]:
        """What the readers say of their buses; one that has not been opened yet is no fault."""
        return [
            BusFacts(
                name=reader.name,
                problem=reader.problem if reader.losses else "",
                quiet=self._quiet(reader.name),
                lost=reader.counters.lost,
            )
            for reader in self.readers
        ]

    def _quiet(self, name: str) -> tuple[str, ...]:
        """Wanted messages of which nothing comes while others of the bus do; all silent is a car that sleeps, or no bus."""
        core = self.core
        if core is None:
            return ()
        sources = [source for signal in core.plan.wanted if (source := core.parts.vehicle.sources.get(signal)) and source.bus == name]
        until_ns = self.assembled.clock.now_ns() - QUIET_NS
        silent = {source.message.name for source in sources if core.silent.get((name, source.can_id), until_ns + 1) <= until_ns}
        return tuple(sorted(silent)) if len(silent) < len({source.message.name for source in sources}) else ()

    def _gap(self, gap: Gap) -> dict[str, object]:
        """How long ago the bus was lost, and for how long; None while that lasts."""
        began_s = (self.assembled.clock.now_ns() - gap.from_ns) / NS
        return {
            "ago_s": round(began_s, 1),
            "lasted_s": None if gap.to_ns is None else round((gap.to_ns - gap.from_ns) / NS, 1),
            "why": gap.why,
        }

    def receiver_facts(self) -> ReceiverFacts | None:
        """What the receiver and its last epochs say."""
        if self.receiver is None:
            return None
        core, epochs = self.core, self.receiver.epochs
        last, fixed_ns = (core.last_fix, core.fixed_ns) if core else (None, None)
        return ReceiverFacts(
            port=self.receiver.port,
            problem=self.receiver.problem,
            good=epochs.good,
            bad=epochs.bad_checksum + epochs.malformed,
            heard_age_s=self._age_s(last.t_ns if last else None),
            fix_age_s=self._age_s(fixed_ns),
            watched_s=time.monotonic() - self._began_s,
            satellites=last.satellites if last else None,
        )

    def clock_facts(self) -> ClockFacts:
        """The agent's clock and the host's."""
        own = self.assembled.clock
        return ClockFacts(host_s=time.time(), source=own.source, trusted=own.trusted())

    def _age_s(self, t_ns: int | None) -> float | None:
        return None if t_ns is None else max(0.0, (self.assembled.clock.now_ns() - t_ns) / NS)

    def _waits(self) -> dict[str, Any]:
        """What waits to be sent, and for how long the oldest has; that only where the time is known."""
        buffer, own = self.assembled.parts.buffer, self.assembled.clock
        oldest_ms = buffer.oldest_ms()
        known = oldest_ms is not None and own.trusted()
        return {"buffer": buffer.statistics(), "oldest_s": max(0.0, own.now_ns() / NS - oldest_ms / 1000) if known and oldest_ms else None}

    def _ledger(self, core: Core) -> dict[str, object]:
        """The accepted policy, how many grants stand, and what a reading of both chains to their ends at the start has shown."""
        facts, inputs = core.parts.ledger.facts(), core.inputs()
        found = {one.code for one in self.assembled.findings}
        read = "whole" if core.parts.kept else "not read"
        return {
            "policy": facts.policy,
            "grants": sum(stands(grant, inputs.now_ms, inputs.trusted, inputs.trip.id) for grant in facts.grants.values()),
            "chain": "broken" if "ledger-broken" in found else read,
            "audit": "broken" if "audit-broken" in found else read,
        }

    def _lanes(self) -> dict[str, dict[str, Any]]:
        """What the uplink says of each lane that core has use for."""
        if self.core is None or self.loop is None:
            return {}
        uplinked = self.loop.uplinked
        return {
            lane: {
                "online": lane in uplinked.online,
                "protocol": uplinked.protocols.get(lane, 0),
                "why": uplinked.why.get(lane, ""),
                "broker": name,
                "recipients": sorted(recipients),
            }
            for lane, (name, recipients, _) in self.core.delivery.lanes().items()
        }

    def signals(self) -> dict[str, Value]:
        """The current `Modicum.Health.*`."""
        counters = self.core.decoder.counters if self.core else None
        waiting = sum(row["rows"] for row in self.assembled.parts.buffer.statistics().values())
        return {
            f"{HEALTH}FramesRead": sum(reader.counters.read for reader in self.readers),
            f"{HEALTH}FramesShort": sum(reader.gate.short for reader in self.readers),
            f"{HEALTH}ReadingsInvalid": counters.invalid if counters else 0,
            f"{HEALTH}Samples": self.core.pipeline.samples if self.core else 0,
            f"{HEALTH}RecordsWaiting": waiting,
            f"{HEALTH}Findings": self._errors(),
            f"{HEALTH}Starts": self.assembled.starts,
        }

    def _errors(self) -> int:
        """How many errors there are, or were less than ERRORS_S ago."""
        now_s = time.monotonic()
        if self._counted is None or now_s - self._counted[0] >= ERRORS_S:
            self._counted = now_s, sum(one.severity == "error" for one in self.findings())
        return self._counted[1]

    def status(self) -> dict[str, object]:
        """Health for the technician."""
        core, loop, facts = self.core, self.loop, self.receiver_facts()
        assert core is not None
        assert loop is not None
        return {
            "clock": {"source": self.assembled.clock.source, "trusted": self.assembled.clock.trusted()},
            "buses": [
                {
                    "name": reader.name,
                    "quiet": self._quiet(reader.name),
                    "read": reader.counters.read,
                    "wanted": reader.gate.wanted,
                    "unknown": reader.counters.unknown,
                    "delivered": reader.gate.delivered,
                    "engine": reader.engine,
                    "gaps": [self._gap(gap) for gap in reader.gaps],
                    "error_frames": reader.counters.error,
                    "errors": dict(reader.counters.errors),
                    "lost": reader.counters.lost,
                    "losses": reader.losses,
                    "problem": reader.problem,
                }
                for reader in self.readers
            ],
            "at_rest": self.at_rest,
            "power": self._power(),
            "receiver": facts and asdict(facts),
            "fixes": loop.fixes,
            "fixes_void": self.receiver.epochs.void if self.receiver else 0,
            "sentences_bad": self.receiver.epochs.bad_checksum + self.receiver.epochs.malformed if self.receiver else 0,
            "plan": {"id": core.plan.id.hex(), "rules": len(core.plan.rules), "refused": len(core.plan.refused)},
            "ledger": self._ledger(core),
            "samples": core.pipeline.samples,
            **self._waits(),
            "offered": len(core.delivery.open),
            "acknowledged": core.delivery.acked,
            "uplink": loop.uplinked.link is not None,
            "lanes": self._lanes(),
            "findings": [{"code": one.code, "severity": one.severity, "text": one.text, "hint": one.hint} for one in self.findings()],
            "frames_short": sum(reader.gate.short for reader in self.readers),
            "readings": core.decoder.counters.readings,
            "readings_invalid": core.decoder.counters.invalid,
            "max_rss_kib": peak_rss_kib(),
        }
