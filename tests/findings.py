"""Finding markers: which test causes which fault and sees its code.

    @pytest.mark.finding("bus-lost")

A marked test that passes without the product having made a finding of that code, in this process and while the test or its own fixtures
ran, is reported as failed: naming a code, or making such a finding in the test, is not enough. Read by tests/test_findings.py.
"""

from __future__ import annotations

import sys
from collections.abc import Generator
from types import FrameType
from typing import Any

import pytest

from agent.model import Finding

MADE: set[str] = set()
"""Codes that the product has made since the test began."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "finding(*codes): the test causes the fault and sees the product find it")
    plain = Finding.__init__

    def noted(self: Finding, **fields: Any) -> None:
        plain(self, **fields)
        if _of_product(sys._getframe(1)):
            MADE.add(self.code)

    Finding.__init__ = noted  # type: ignore[method-assign]  # every finding that is made goes through it


def _of_product(frame: FrameType | None) -> bool:
    """Whether the product asked for it, itself or by `dataclasses.replace`."""
    while frame is not None and frame.f_globals.get("__name__") == "dataclasses":
        frame = frame.f_back
    return frame is not None and str(frame.f_globals.get("__name__")).startswith("agent.")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol() -> Generator[None, object, object]:
    """Each test sees its own."""
    MADE.clear()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    wanted = {code for mark in item.iter_markers("finding") for code in mark.args}
    if call.when == "call" and report.passed and not wanted <= MADE:
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid}: the product did not find {', '.join(sorted(wanted - MADE))}"
    return report


def fault(code: str, *values: object) -> Any:
    """A case of a parametrized test about a fault: its code comes first."""
    return pytest.param(code, *values, marks=pytest.mark.finding(code), id=code)
