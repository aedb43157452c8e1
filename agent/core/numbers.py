"""What the agent says of itself: counters and findings, never a value or a place. Feeds `Modicum.Health.*` and `status`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from agent.core.assembly import Assembled
from agent.core.core import Core
from agent.core.loop import Loop
from agent.core.memory_use import peak_rss_kib
from agent.model import Finding, Value
from agent.vss import HEALTH

if TYPE_CHECKING:
    from hw.can.bus import BusReader
    from hw.gnss.source import FixSource

RECEIVER_GRACE_S = 30.0
"""A receiver that has not been read for this long is a finding."""


@dataclass(slots=True)
class Numbers:
    """Reads the counters of everything that runs."""

    readers: Sequence[BusReader]
    assembled: Assembled
    core: Core | None = field(default=None)
    loop: Loop | None = field(default=None)
    receiver: FixSource | None = field(default=None)
    at_rest: str = "weak"
    _receiver_since_s: float | None = None

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
            text = "the bus names another car than agent.toml; nothing that carries the VIN is collected"
            found.append(Finding(code="vin-differs", severity="error", text=text, hint="correct [vehicle] vin, or the platform"))
        if self.receiver is not None and self._receiver_gone():
            text = f"receiver: {self.receiver.problem}"
            found.append(Finding(code="receiver-lost", severity="error", text=text, hint="check its port and cable"))
        found += [
            Finding(code="bus-lost", severity="error", text=f"bus {reader.name}: {reader.problem}", hint="check wiring and interface")
            for reader in self.readers
            if reader.problem and reader.losses
        ]
        if not self.assembled.clock.trusted():
            found.append(
                Finding(code="clock-unsure", severity="warning", text="the time is not known for sure", hint="wait for a fix or for NTP")
            )
        return found

    def _receiver_gone(self) -> bool:
        """Whether the receiver has not been read for a while: one that is plugged in late is no fault."""
        assert self.receiver is not None
        if not self.receiver.problem:
            self._receiver_since_s = None
            return False
        if self._receiver_since_s is None:
            self._receiver_since_s = time.monotonic()
        return time.monotonic() - self._receiver_since_s >= RECEIVER_GRACE_S

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
            f"{HEALTH}Findings": len([one for one in self.findings() if one.severity == "error"]),
            f"{HEALTH}Starts": self.assembled.starts,
        }

    def status(self) -> dict[str, object]:
        """Health for the technician."""
        core, loop = self.core, self.loop
        assert core is not None
        assert loop is not None
        return {
            "clock": {"source": self.assembled.clock.source, "trusted": self.assembled.clock.trusted()},
            "buses": [
                {
                    "name": reader.name,
                    "read": reader.counters.read,
                    "wanted": reader.gate.wanted,
                    "unknown": reader.counters.unknown,
                    "delivered": reader.gate.delivered,
                    "error_frames": reader.counters.error,
                    "lost": reader.counters.lost,
                    "problem": reader.problem,
                }
                for reader in self.readers
            ],
            "at_rest": self.at_rest,
            "fixes": loop.fixes,
            "fixes_void": self.receiver.epochs.void if self.receiver else 0,
            "sentences_bad": self.receiver.epochs.bad_checksum + self.receiver.epochs.malformed if self.receiver else 0,
            "plan": {"id": core.plan.id.hex(), "rules": len(core.plan.rules), "refused": len(core.plan.refused)},
            "samples": core.pipeline.samples,
            "buffer": self.assembled.parts.buffer.statistics(),
            "offered": len(core.delivery.open),
            "acknowledged": core.delivery.acked,
            "uplink": loop.uplinked.link is not None,
            "lanes": {
                lane: {
                    "online": lane in loop.uplinked.online,
                    "protocol": loop.uplinked.protocols.get(lane, 0),
                    "why": loop.uplinked.why.get(lane, ""),
                }
                for lane in core.delivery.lanes()
            },
            "findings": [{"code": one.code, "severity": one.severity, "text": one.text, "hint": one.hint} for one in self.findings()],
            "frames_short": sum(reader.gate.short for reader in self.readers),
            "readings": core.decoder.counters.readings,
            "readings_invalid": core.decoder.counters.invalid,
            "max_rss_kib": peak_rss_kib(),
        }
