"""The attack model names tests as evidence: each of them exists."""

from __future__ import annotations

import re

from tests.sources import ROOT

NAMED = re.compile(r"\btest_[a-z0-9_]+")


def test_every_test_that_the_attack_model_names_exists() -> None:
    """A guarantee whose test was renamed or removed is a claim without evidence."""
    named = set(NAMED.findall((ROOT / "docs" / "attack-model.md").read_text(encoding="utf-8")))
    files = list((ROOT / "tests").rglob("test_*.py"))
    known = {path.stem for path in files}
    known |= {name for path in files for name in re.findall(r"^ *def (test_[a-z0-9_]+)", path.read_text(encoding="utf-8"), re.MULTILINE)}
    assert len(named) > 20
    assert named - known == set()
