"""agent.cli.bench.stage: the plans of a live run are remembered as they change."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from agent.cli.bench import stage as bench
from agent.cli.bench.stage import Stage


def staged(lines: list[dict[str, Any]]) -> Stage:
    """A stage with recipients and nothing else."""
    parts: dict[str, Any] = {"request": None, "device": SimpleNamespace(control=None), "programs": None, "drive": None}
    return Stage(**parts, listeners=cast("Any", SimpleNamespace(lines=lines)))


def test_the_plan_is_asked_whenever_it_is_another_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for each plan, not once for each look."""
    asked, plan = list[str](), {"id": "1", "rules": [], "refused": []}

    def ask(_: object, route: str) -> dict[str, Any]:
        asked.append(route)
        return plan if route == "plan" else {"plan": {"id": plan["id"]}}

    monkeypatch.setattr(bench, "ask", ask)
    stage = staged([])
    for name in ("1", "1", "2", "2"):
        plan = plan | {"id": name}
        bench._look(stage)
    assert [one["id"] for one in stage.chronicle.plans] == ["1", "2"]
    assert asked.count("plan") == 2
    assert stage.plan == stage.chronicle.plan == plan
