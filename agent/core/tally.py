"""The summary of a virtual run: what was read, what became of it, what it cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.core.memory_use import peak_rss_kib
from agent.core.outcome import publish_bytes, stream_totals
from agent.core.virtual import VirtualRun
from hw.can.replay import LogCounters
from hw.gnss.nmea import Epochs


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What the devices' side of a run counted. `epochs` None: there was no receiver."""

    log: LogCounters
    epochs: Epochs | None
    unknown_id: int
    duration_s: float
    cpu_s: float


def summary_of(run: VirtualRun, lines: Sequence[Mapping[str, object]], counts: Counts) -> dict[str, object]:
    """`summary.json`, without a value or a place."""
    core, log, epochs = run.core, counts.log, counts.epochs
    envelopes = run.received.envelopes
    decoded = core.decoder.counters
    return {
        "frames_read": log.read,
        "frames_wanted": run.gate.wanted,
        "frames_delivered": run.gate.delivered,
        "frames_short": run.gate.short,
        "frames_unknown_id": counts.unknown_id,
        "frames_error": log.error,
        "frames_remote": log.remote,
        "readings": decoded.readings,
        "readings_invalid": decoded.invalid,
        "samples": len(lines),
        "refused": dict(Counter(no.reason for no in core.plan.refused)),
        "records": len(envelopes),
        "messages": len(envelopes),
        "bytes_sealed": sum(len(payload) for _, _, payload in envelopes),
        "bytes_wire": sum(publish_bytes(topic, payload) for _, topic, payload in envelopes),
        "fixes_read": epochs.fixes if epochs else 0,
        "fixes_void": epochs.void if epochs else 0,
        "sentences_bad": epochs.bad_checksum + epochs.malformed if epochs else 0,
        "duration_s": counts.duration_s,
        "cpu_s": round(counts.cpu_s, 3),
        "max_rss_kib": peak_rss_kib(),
        "notes": run.notes,
        "streams": stream_totals(lines, envelopes),
    }
