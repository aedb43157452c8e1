"""Requirement markers: which test shows which row, and that each such test can fail.

    @pytest.mark.req("R29", "R30", control=sabotage)

A marked test runs twice. `[plain]` as written. `[control]` after `sabotage(monkeypatch)` has broken the product: then it has to
fail, in its set-up or in its body, else the control is reported as failed. Several markers on one test give several controls.
To fail is to miss what is asserted (AssertionError, pytest.fail); a control that makes the product itself raise says
`raises=Kind`. Any other exception shows that the test broke, not that it noticed. A control breaks the product: one that
replaces something of `tests` is refused.

A test that is expected to fail (xfail) shows that its rows are not held there: the table says so, with its reason. Its controls
do not run.

What a control may rely on: it is applied before the test's fixtures, and fixtures of a wider scope are made anew for it and thrown
away after it, so nothing made under sabotage reaches another test. It does not reach other processes. Controls run last.
A skipped test has a skipped control, and neither counts. The results go to `.evidence/results.json`; `make evidence` prints them.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import hypothesis
import pytest

from tests import evidence_table

Control = Callable[[pytest.MonkeyPatch], object]

RUN = "requirement_run"
"""Name of the parameter that makes one test two."""


@dataclass(frozen=True, slots=True)
class Run:
    """One way of running a marked test. `control` None: as written."""

    ids: tuple[str, ...]
    control: Control | None = None
    raises: tuple[type[BaseException], ...] = ()

    @property
    def name(self) -> str:
        return "control" if self.control else "plain"


class ControlBroken(Exception):
    """The sabotage itself raised or broke the tests instead of the product, so nothing was shown about the test."""


ASSERTED: tuple[type[BaseException], ...] = (AssertionError, pytest.fail.Exception)
"""How a test says that a promise is not kept."""


SABOTAGE = pytest.StashKey[pytest.MonkeyPatch]()
SEEN = pytest.StashKey[str]()
REASON = pytest.StashKey[str]()
SETTINGS = pytest.StashKey[tuple[Any, Any]]()


# -- collection: one test, two or more items --------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "req(*ids, control, raises): the test shows these rows; `control(monkeypatch)` must make it fail")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Recorder(config), "requirement-recorder")


def _run_of_mark(mark: pytest.Mark, nodeid: str) -> Run:
    known = evidence_table.rows()
    unknown = [row for row in mark.args if row not in known]
    if unknown or not mark.args:
        raise pytest.UsageError(f"{nodeid}: req names no row of requirements.toml: {unknown}")
    if not {"control"} <= set(mark.kwargs) <= {"control", "raises"} or not callable(mark.kwargs["control"]):
        raise pytest.UsageError(f"{nodeid}: req{mark.args} needs control=, a function that breaks the product for this test")
    raises = mark.kwargs.get("raises", ())
    kinds = raises if isinstance(raises, tuple) else (raises,)
    if not all(isinstance(kind, type) and issubclass(kind, Exception) and kind is not Exception for kind in kinds):
        raise pytest.UsageError(f"{nodeid}: req{mark.args} raises= is no kind of exception")
    return Run(tuple(mark.args), mark.kwargs["control"], kinds)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Adds the control runs of a marked test."""
    controls = [_run_of_mark(mark, metafunc.definition.nodeid) for mark in metafunc.definition.iter_markers("req")]
    if not controls:
        return
    plain = Run(tuple(sorted({row for run in controls for row in run.ids})))
    names = ["control"] if len(controls) == 1 else [f"control{n}" for n in range(1, len(controls) + 1)]
    metafunc.fixturenames.append(RUN)
    metafunc.parametrize(RUN, [plain, *controls], ids=["plain", *names])


def run_of(item: pytest.Item) -> Run | None:
    """The run that `item` is, or None for a test without a marker."""
    callspec = getattr(item, "callspec", None)
    run = callspec.params.get(RUN) if callspec else None
    return run if isinstance(run, Run) else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Controls last: what wider fixtures made is shared by the plain tests and not thrown away between them.

    Of a test that is expected to fail there is none: it would show nothing.
    """
    items[:] = [item for item in items if not (item.get_closest_marker("xfail") and (run := run_of(item)) is not None and run.control)]
    items.sort(key=lambda item: (run := run_of(item)) is not None and run.control is not None)


# -- a control run ----------------------------------------------------------------------------------------------------


def _drop_shared_fixtures(item: pytest.Item) -> None:
    """Ends every fixture of a wider scope that `item` uses; the next test that needs one makes it anew."""
    info = getattr(item, "_fixtureinfo", None)
    request: Any = getattr(item, "_request", None)
    for definitions in info.name2fixturedefs.values() if info and request else ():
        for definition in definitions:
            if definition.scope != "function":
                definition.finish(request)


def _first_failure_is_enough(item: pytest.Item) -> None:
    """Hypothesis would look for the smallest example that fails; a control needs any."""
    function = getattr(item.obj, "__func__", item.obj) if isinstance(item, pytest.Function) else None
    settings = getattr(function, "_hypothesis_internal_use_settings", None)
    if settings is None:
        return
    quick = hypothesis.settings(parent=settings, phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate), report_multiple_bugs=False)
    item.stash[SETTINGS] = (function, settings)
    function._hypothesis_internal_use_settings = quick  # type: ignore[union-attr]  # as hypothesis' own plugin does


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Breaks the product after the skip marks were read and before any fixture of a control run exists."""
    run = run_of(item)
    if run is None or run.control is None:
        return
    _drop_shared_fixtures(item)
    _first_failure_is_enough(item)
    item.stash[SABOTAGE] = monkeypatch = pytest.MonkeyPatch()
    try:
        run.control(monkeypatch)
    except Exception as error:
        raise ControlBroken(f"the control {_name(run)} raised {error!r}") from error
    if ours := [_owner(target) for target, _, _ in monkeypatch._setattr if f"{_owner(target)}.".startswith("tests.")]:
        raise ControlBroken(f"the control {_name(run)} breaks {', '.join(ours)}, which is no part of the product")


def _owner(target: object) -> str:
    """The module that something lies in."""
    owner = target if isinstance(target, ModuleType | type) else type(target)
    return owner.__name__ if isinstance(owner, ModuleType) else owner.__module__


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """A control whose set-up has failed already has nothing left to call."""
    return True if SEEN in pyfuncitem.stash else None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Mends the product after the fixtures of a control run are gone."""
    try:
        return (yield)
    finally:
        if SABOTAGE in item.stash:
            try:
                _drop_shared_fixtures(item)
            finally:
                item.stash[SABOTAGE].undo()
                function, settings = item.stash.get(SETTINGS, (None, None))
                if function is not None:
                    function._hypothesis_internal_use_settings = settings
                _forget_wreckage()


def _forget_wreckage() -> None:
    """Collects what the failed test left open, so that the warning about it hits no other test."""
    for name in ("last_type", "last_value", "last_traceback", "last_exc"):  # pytest keeps the failure there for a debugger
        if hasattr(sys, name):
            delattr(sys, name)
    hook, sys.unraisablehook = sys.unraisablehook, lambda _: None
    try:
        gc.collect()
    finally:
        sys.unraisablehook = hook


def _name(run: Run) -> str:
    return getattr(run.control, "__qualname__", repr(run.control))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Turns the outcome of a control run around, and notes for the record what the report is about."""
    report = yield
    run = run_of(item)
    if run is None:
        return report
    if run.control and not report.skipped:
        _turn_around(item, run, call, report)
    outcome: str = report.outcome
    if report.skipped and hasattr(report, "wasxfail"):
        outcome, item.stash[REASON] = "unheld", str(report.wasxfail)
    saw = item.stash.get(SEEN, "") or item.stash.get(REASON, "")
    note = {"ids": list(run.ids), "run": run.name, "outcome": outcome, "saw": saw}
    report.user_properties = [*report.user_properties, ("req", note)]
    return report


def _turn_around(item: pytest.Item, run: Run, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
    if call.excinfo is not None and call.when != "teardown" and isinstance(call.excinfo.value, ASSERTED + run.raises):
        item.stash[SEEN] = call.excinfo.typename
    if SEEN in item.stash:
        report.outcome, report.longrepr, report.sections = "passed", None, []
    elif call.when == "call" and report.passed:
        report.outcome = "failed"
        report.longrepr = f"{_where(item)}: the control {_name(run)} did not make this test fail"
    elif call.excinfo is not None and call.when != "teardown" and not isinstance(call.excinfo.value, ControlBroken):
        seen = f"{_where(item)}: under the control {_name(run)} this test broke with {call.excinfo.typename}, which it did not name"
        report.longrepr = f"{seen}\n{report.longreprtext}"


def _where(item: pytest.Item) -> str:
    path, line, _ = item.reportinfo()
    return f"{path}:{(line or 0) + 1}"


# -- results ----------------------------------------------------------------------------------------------------------


class Recorder:
    """Collects what marked tests did, from all workers, and writes it down once."""

    def __init__(self, config: pytest.Config) -> None:
        self.path = config.rootpath / evidence_table.RESULTS
        self.whole = _is_whole_run(config)
        self.results: dict[str, evidence_table.Result] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for key, note in report.user_properties:
            if key == "req" and isinstance(note, dict):
                earlier = self.results.get(report.nodeid)
                worst = evidence_table.worst(note["outcome"], earlier.outcome if earlier else "passed")
                self.results[report.nodeid] = evidence_table.Result(**{**note, "outcome": worst})

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, exitstatus: int) -> None:
        """A whole run replaces what was known; a part of it, or one that was cut short, replaces its own tests only."""
        if not self.results:
            return
        cut_short = exitstatus not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}
        known = {} if self.whole and not cut_short else evidence_table.load(self.path)
        evidence_table.store(self.path, known | self.results)
        terminalreporter.write_line(evidence_table.closing_line(known | self.results))


def _is_whole_run(config: pytest.Config) -> bool:
    chosen = ("keyword", "markexpr", "lf", "deselect", "ignore", "ignore_glob", "maxfail")
    return config.args_source is pytest.Config.ArgsSource.TESTPATHS and not any(config.getoption(name, None) for name in chosen)


if __name__ == "__main__":
    sys.exit(evidence_table.main(sys.argv[1:]))
