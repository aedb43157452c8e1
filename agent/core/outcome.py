"""What a run writes for people and checks: received.jsonl, summary.json, plan.json, envelopes/. The recipients' side."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from agent.bits import mask_bytes
from agent.model import Plan, Rule
from hw.ports import Subscription

PUBLISH_FIXED_BYTES = 1 + 2 + 2 + 1 + 5
"""Packet type, topic length, packet id, property length, message expiry (MQTT 5.0, 3.3)."""


def publish_bytes(topic: str, payload: bytes) -> int:
    """Size of the PUBLISH packet with its expiry property (MQTT 5.0 sections 2.1.4 and 3.3)."""
    rest = PUBLISH_FIXED_BYTES - 1 + len(topic.encode()) + len(payload)
    length_bytes = 1
    while rest >= 128**length_bytes:
        length_bytes += 1
    return 1 + length_bytes + rest


def plan_document(plan: Plan, wanted: Sequence[Subscription]) -> dict[str, object]:
    """The plan as `modicum plan --json` prints it."""
    return {
        "id": plan.id.hex(),
        "rules": [rule_document(rule) for rule in plan.rules],
        "refused": [{"service": no.service, "stream": no.stream, "signal": no.signal, "reason": no.reason} for no in plan.refused],
        "subscriptions": [
            {
                "bus": one.bus,
                "id": one.can_id & 0x1FFF_FFFF,
                "extended": bool(one.can_id >> 31),
                "mask": mask_bytes(one.mask),
                "throttle_s": one.throttle_ns / 1e9,
                "timeout_s": one.timeout_ns / 1e9,
                "multiplexed": one.mux is not None,
            }
            for one in wanted
        ],
        "valid_until": plan.valid_until_ms / 1000 if plan.valid_until_ms is not None else None,
    }


def rule_document(rule: Rule) -> dict[str, object]:
    """One rule for people and programs."""
    return {
        "id": rule.id,
        "service": rule.service,
        "stream": rule.stream,
        "signal": rule.signal,
        "purpose": rule.purpose,
        "category": rule.category,
        "basis": rule.basis,
        "basis_ref": rule.basis_ref,
        "because": rule.because,
        "policy": rule.policy,
        "triggers": list(rule.triggers),
        "while": rule.while_,
        "every_s": rule.every_s,
        "window_s": rule.window_s,
        "before_s": rule.before_s,
        "after_s": rule.after_s,
        "time_floor_s": rule.time_floor_s,
        "transforms": [{step.name: step.argument} for step in rule.transforms],
        "identity": rule.identity,
        "recipient": rule.recipient,
        "priority": rule.priority,
        "keep_s": rule.keep_s,
    }


def sorted_lines(lines: Sequence[Mapping[str, object]]) -> list[Mapping[str, object]]:
    """In the order that makes two runs comparable."""
    return sorted(lines, key=lambda line: (str(line["service"]), str(line["stream"]), line["t"], str(line["signal"]), line["seq"]))


def stream_totals(lines: Sequence[Mapping[str, object]], envelopes: Sequence[tuple[str, str, bytes]]) -> dict[str, dict[str, int]]:
    """Samples, messages and sealed bytes of each stream."""
    samples = Counter(f"{line['service']}.{line['stream']}" for line in lines)
    messages = Counter(stream for stream, _, _ in envelopes)
    sealed: Counter[str] = Counter()
    for stream, _, payload in envelopes:
        sealed[stream] += len(payload)
    return {
        stream: {"samples": samples[stream], "messages": messages[stream], "bytes_sealed": sealed[stream]} for stream in sorted(messages)
    }


def write_outcome(  # noqa: PLR0913  the results are six, each by its name
    folder: Path,
    *,
    lines: Sequence[Mapping[str, object]],
    envelopes: Sequence[tuple[str, str, bytes]],
    plan: Mapping[str, object],
    summary: Mapping[str, object],
    keys: Mapping[str, bytes],
) -> None:
    """Writes the results into `folder`, which is made if it is not there; older ones of them are replaced.

    `keys`: the recipients' private keys, made for this run alone, so that `modicum open` can open its envelopes.
    """
    box = folder / "envelopes"
    box.mkdir(parents=True, exist_ok=True)
    for old in box.glob("*.cbor"):
        old.unlink()
    for order, (stream, _, payload) in enumerate(envelopes, 1):
        (box / f"{order:06d}-{stream.replace('.', '-')}.cbor").write_bytes(payload)
    (folder / "recipients").mkdir(exist_ok=True)
    for name, key in keys.items():
        (folder / "recipients" / f"{name}.key").write_bytes(key)
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (folder / "received.jsonl").write_text(text, encoding="utf-8")
    (folder / "plan.json").write_text(json.dumps(plan, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    (folder / "summary.json").write_text(json.dumps(summary, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
