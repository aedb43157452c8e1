"""Figures that tests measured, printed at the end of the run: how well an attack did, beside whether it did too well.

A test asks for the fixture `measured` and says what it found; the figures travel with its report, so that workers' show too.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

KEY = "measured"
Say = Callable[[str], None]


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Figures(), "measured-figures")


@pytest.fixture
def measured(record_property: Callable[[str, object], None]) -> Say:
    """Says one line of figures."""

    def say(line: str) -> None:
        record_property(KEY, line)
        print(line)

    return say


class Figures:
    """Collects what was said by tests that passed."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" and "[control" not in report.nodeid:
            self.lines += [str(value) for key, value in report.user_properties if key == KEY]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        if self.lines:
            terminalreporter.section("measured")
            for line in sorted(self.lines):
                terminalreporter.write_line(line)
