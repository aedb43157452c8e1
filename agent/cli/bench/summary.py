"""The numbers of a live run, as `summary.json` has them."""

from __future__ import annotations

import resource

from agent.cli.bench.device import SOCKETCAN
from agent.cli.bench.stage import Stage
from agent.cli.words import HALVES
from agent.core.outcome import publish_bytes, sorted_lines, stream_totals


def summary_of(stage: Stage) -> tuple[dict[str, object], list[dict[str, object]]]:
    """`summary.json` and the sorted lines of a finished run."""
    assert stage.listeners is not None
    lines = [dict(line) for line in sorted_lines(stage.listeners.lines)]
    envelopes = stage.listeners.envelopes
    bus = stage.status["buses"][0]
    refused: dict[str, int] = {}
    for no in stage.plan["refused"]:
        refused[no["reason"]] = refused.get(no["reason"], 0) + 1
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "frames_read": bus["read"],
        "frames_wanted": bus["wanted"],
        "frames_delivered": bus["delivered"],
        "frames_short": stage.status["frames_short"],
        "frames_unknown_id": bus["unknown"],
        "readings": stage.status["readings"],
        "readings_invalid": stage.status["readings_invalid"],
        "samples": len(lines),
        "samples_made": stage.status["samples"],
        "samples_left": sum(line["signal"] != HALVES[1] for line in lines),
        "refused": refused,
        "records": len(envelopes),
        "messages": len(envelopes),
        "bytes_sealed": sum(len(payload) for _, _, payload in envelopes),
        "bytes_wire": sum(publish_bytes(topic, payload) for _, topic, payload in envelopes),
        "fixes_read": stage.status["fixes"],
        "fixes_void": stage.status["fixes_void"],
        "sentences_bad": stage.status["sentences_bad"],
        "duration_s": stage.ends_s,
        "cpu_s": round(used.ru_utime + used.ru_stime, 2),
        "max_rss_kib": stage.status["max_rss_kib"],
        "notes": [*stage.device.notes, *stage.actions.done, f"bus {bus['name']}, broker {stage.device.broker_url.split('://')[0]}"],
        "streams": stream_totals(lines, envelopes),
        "start_ns": stage.start_ns,
        "seed": stage.request.seed,
        "link_cuts_s": stage.cuts,
        "kernel_filters": stage.bus is not None and stage.bus.interface == SOCKETCAN,
        "opened_by_others": stage.listeners.opened_by_others,
        "not_opened": stage.listeners.refused,
        "emergency_messages": stage.centre.received if stage.centre else [],
    }, lines
