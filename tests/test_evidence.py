"""The requirement markers keep their own promises: a control has to make its test fail, and what it breaks is mended."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests import evidence_table
from tests.evidence_table import Result

PRODUCT = """
import product

def sabotage(monkeypatch):
    monkeypatch.setattr("product.answer", lambda: 0)
"""


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A tiny project of its own whose product answers 42."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", f"{evidence_table.ROOT}:{pytester.path}")  # for workers
    pytester.syspathinsert()
    pytester.makefile(".toml", pyproject="[tool.pytest]\ntestpaths = ['.']\n")
    pytester.makepyfile(product="def answer():\n    return 42\n")
    return pytester


def run(project: pytest.Pytester, test: str, *arguments: str, apart: bool = False) -> pytest.RunResult:
    """The outcome of a test file in the tiny project; `apart`: in a process of its own."""
    project.makepyfile(test_it=PRODUCT + test)
    if apart:
        return project.runpytest_subprocess("-p", "tests.evidence", "-p", "no:cacheprovider", *arguments)
    return project.runpytest_inprocess("-p", "tests.evidence", "-p", "no:cacheprovider", *arguments)


def results(project: pytest.Pytester) -> dict[str, Result]:
    return evidence_table.load(project.path / evidence_table.RESULTS)


MARKED = """
import pytest

@pytest.mark.req("R29", control=sabotage)
def test_answer():
    assert product.answer() == 42
"""


def test_a_marked_test_runs_as_written_and_under_its_control(project: pytest.Pytester) -> None:
    """A test that can fail gives two passes, and both are written down."""
    done = run(project, MARKED, "-v")
    done.assert_outcomes(passed=2)
    done.stdout.fnmatch_lines(["*test_answer?plain?*", "*test_answer?control?*", "requirements: 1 shown*"])
    assert results(project) == {
        "test_it.py::test_answer[plain]": Result(ids=["R29"], run="plain", outcome="passed"),
        "test_it.py::test_answer[control]": Result(ids=["R29"], run="control", outcome="passed", saw="AssertionError"),
    }


def test_a_test_that_cannot_fail_is_reported(project: pytest.Pytester) -> None:
    """Where the sabotage changes nothing for the test, the control run fails and says so."""
    done = run(project, MARKED.replace("product.answer() == 42", "product"))
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(["*test_it.py:*the control sabotage did not make this test fail*"])


def test_a_broken_control_is_a_failure(project: pytest.Pytester) -> None:
    """A sabotage that misses its target shows nothing and is no success."""
    done = run(project, MARKED.replace("control=sabotage", "control=lambda mp: mp.setattr('product.gone', 1)"))
    done.assert_outcomes(passed=1, errors=1)
    assert results(project)["test_it.py::test_answer[control]"].outcome == "failed"


RAISING = """
import pytest

def sabotage(monkeypatch):
    def answer():
        raise KeyError("answer")
    monkeypatch.setattr("product.answer", answer)

@pytest.mark.req("R29", control=sabotage)
def test_answer():
    assert product.answer() == 42
"""


def test_a_control_that_breaks_the_test_is_a_failure(project: pytest.Pytester) -> None:
    """Whatever is not an assertion shows that the test fell over, not that it noticed; the report says by what."""
    done = run(project, RAISING)
    done.assert_outcomes(passed=1, failed=1)
    done.stdout.fnmatch_lines(["*under the control sabotage this test broke with KeyError, which it did not name*"])


@pytest.mark.parametrize("kinds", ["KeyError", "(ValueError, KeyError)", "LookupError"])
def test_a_control_may_name_what_the_product_raises(project: pytest.Pytester, kinds: str) -> None:
    """`raises=`: one kind or several, with their own kinds."""
    run(project, RAISING.replace("control=sabotage", f"control=sabotage, raises={kinds}")).assert_outcomes(passed=2)
    assert results(project)["test_it.py::test_answer[control]"].saw == "KeyError"


def test_an_expected_exception_that_does_not_come_is_how_a_test_fails(project: pytest.Pytester) -> None:
    """pytest.raises and pytest.fail count as assertions."""
    test = MARKED.replace(
        "    assert product.answer() == 42", "    with pytest.raises(ZeroDivisionError):\n        1 / (product.answer() - 42)"
    )
    run(project, test).assert_outcomes(passed=2)
    assert results(project)["test_it.py::test_answer[control]"].saw == "Failed"


@pytest.mark.parametrize(
    "target", ["'tests.evidence_table.rows', dict", "tests.evidence_table, 'rows', dict", "tests.evidence_table.Row, 'title', ''"]
)
def test_a_control_that_breaks_the_tests_is_refused(project: pytest.Pytester, target: str) -> None:
    """Named by its path, as a module or as a class of one: what it replaces has to be the product's."""
    test = f"import tests.evidence_table\n{MARKED}".replace("control=sabotage", f"control=lambda mp: mp.setattr({target})")
    run(project, test).assert_outcomes(passed=1, errors=1)


UNHELD = MARKED.replace("@pytest.mark.req", '@pytest.mark.xfail(reason="41 of 42", strict=True)\n@pytest.mark.req').replace(
    "== 42", "== 41"
)


def test_what_is_known_not_to_hold_is_said(project: pytest.Pytester, capsys: pytest.CaptureFixture[str]) -> None:
    """An expected failure is no failure of the run; its row is open, and only in part shown beside a test that passes."""
    run(project, UNHELD).assert_outcomes(xfailed=1)
    assert evidence_table.evidence(results(project))["R29"].state == "open"
    run(project, UNHELD + MARKED.replace("test_answer", "test_other")).assert_outcomes(xfailed=1, passed=2)
    assert evidence_table.evidence(results(project))["R29"].state == "in part"
    capsys.readouterr()
    evidence_table.main(["--results", str(project.path / evidence_table.RESULTS)])
    assert "does not hold: test_it.py::test_answer[plain]: 41 of 42" in capsys.readouterr().out


@pytest.mark.parametrize(
    "marker",
    [
        'req("R29")',
        'req("R29", control=None)',
        'req("R99", control=sabotage)',
        "req(control=sabotage)",
        'req("R29", control=sabotage, x=1)',
        'req("R29", control=sabotage, raises="KeyError")',
        'req("R29", control=sabotage, raises=Exception)',
    ],
)
def test_a_marker_without_row_or_control_stops_the_collection(project: pytest.Pytester, marker: str) -> None:
    """No requirement is shown by a test that nobody has seen fail."""
    done = run(project, MARKED.replace('req("R29", control=sabotage)', marker))
    assert done.ret != 0
    done.stdout.fnmatch_lines_random(["*test_answer: req*"])
    assert results(project) == {}


CONTROLS_FIRST = """
import pytest

@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items):
    yield
    items.sort(key=lambda item: "control" not in item.name)
"""

SHARED = """
import pytest

@pytest.fixture(scope="session")
def shared():
    return product.answer()

@pytest.fixture
def own(shared):
    assert shared == 42
    return shared

@pytest.mark.req("R01", control=sabotage)
def test_shared(shared):
    assert shared == 42

@pytest.mark.req("R02", control=sabotage)
def test_fails_in_set_up(own):
    pass

@pytest.mark.req("R03", control=sabotage)
def test_shared_again(shared):
    assert shared == 42

def test_unmarked(shared):
    assert shared == 42 == product.answer()
"""


def test_sabotage_comes_before_every_fixture(project: pytest.Pytester) -> None:
    """A fixture of any scope is made from the broken product in the control run, also where a test before had made it."""
    run(project, SHARED, "-p", "no:randomly").assert_outcomes(passed=7)
    assert {result.saw for result in results(project).values() if result.run == "control"} == {"AssertionError"}


def test_sabotage_is_mended(project: pytest.Pytester) -> None:
    """A test after a control meets the whole product, and no fixture made from the broken one."""
    project.makeconftest(CONTROLS_FIRST)
    done = run(project, SHARED, "-v")
    done.assert_outcomes(passed=7)
    done.stdout.re_match_lines([r".*control.*", r".*test_unmarked.*"])


def test_controls_run_last(project: pytest.Pytester) -> None:
    """What wider fixtures made serves all plain tests."""
    done = run(project, SHARED, "-v")
    done.stdout.re_match_lines([r".*test_unmarked.*", r".*control.*PASSED.*", r".*control.*PASSED.*", r".*control.*PASSED.*100%.*"])


def test_wreckage_of_a_control_reaches_no_other_test(project: pytest.Pytester) -> None:
    """What the failed control left open warns nobody else, though warnings are errors; nor does its failing tear-down."""
    project.makeconftest(CONTROLS_FIRST)
    test = """
import gc
import pytest

gc.disable()  # only at the two moments that matter here

@pytest.fixture
def torn():
    yield
    assert product.answer() == 42

@pytest.mark.req("R01", control=sabotage)
def test_open_file(tmp_path, torn):
    held = open(tmp_path / "x", "w")
    cycle = [held]
    cycle.append(cycle)
    assert product.answer() == 42
    held.close()

def test_collects():
    gc.collect()
"""
    run(project, test, "-W", "error", apart=True).assert_outcomes(passed=3)


def test_property_tests_run_under_sabotage(project: pytest.Pytester) -> None:
    """Every example of a property test sees the sabotage, and one that fails is enough: no search for the smallest."""
    test = """
import pytest
from hypothesis import given, settings, strategies

calls = []

@pytest.mark.req("R29", control=sabotage)
@settings(database=None, deadline=None, max_examples=30)
@given(strategies.integers(1, 10**9))
def test_larger(n):
    calls.append(product.answer())
    assert product.answer() == 42 or n < 10

def teardown_module():
    print("sabotaged:", calls.count(0), "as written:", calls.count(42))
"""
    done = run(project, test, "-p", "hypothesispytest", "-s")
    done.assert_outcomes(passed=2)
    line = [line for line in done.outlines if "sabotaged:" in line][-1]
    sabotaged, plain = (int(word) for word in line.split() if word.isdigit())
    assert plain == 30
    assert 1 <= sabotaged < 6


@pytest.mark.parametrize("how", ["@pytest.mark.skipif(True, reason='no bus')", "inside"])
def test_a_skipped_test_has_a_skipped_control(project: pytest.Pytester, how: str) -> None:
    """What this machine does not allow counts neither as shown nor as failed."""
    test = (
        MARKED.replace("@pytest.mark.req", f"{how}\n@pytest.mark.req")
        if how != "inside"
        else MARKED.replace("assert", "pytest.skip('x')\n    assert")
    )
    run(project, test).assert_outcomes(skipped=2)
    assert evidence_table.evidence(results(project))["R29"].state == "skipped"


def test_several_markers_give_several_controls(project: pytest.Pytester) -> None:
    """Each marker's control is held against its own rows; the plain run counts for all of them."""
    run(project, MARKED.replace("def test", '@pytest.mark.req("R30", "R31", control=sabotage)\ndef test')).assert_outcomes(passed=3)
    found = evidence_table.evidence(results(project))
    assert [found[row].state for row in ("R29", "R30", "R31", "R32")] == ["shown", "shown", "shown", "open"]


def test_parametrised_tests_keep_their_cases(project: pytest.Pytester) -> None:
    """Each case has a control of its own."""
    test = MARKED.replace("@pytest.mark.req", "@pytest.mark.parametrize('n', [42, 43])\n@pytest.mark.req").replace(
        "answer():", "answer(n):"
    )
    done = run(project, test.replace("== 42", "<= n and product.answer() > 0"))
    done.assert_outcomes(passed=4)


def test_results_come_from_all_workers(project: pytest.Pytester) -> None:
    """In parallel and in random order the same is written down, by one process."""
    more = "".join(MARKED.replace("test_answer", f"test_answer_{n}").replace("import pytest", "") for n in range(5))
    done = run(project, MARKED + more, "-p", "xdist", "-p", "pytest_randomly", "-n", "2")
    done.assert_outcomes(passed=12)
    assert sum(result.run == "control" for result in results(project).values()) == 6


def test_a_part_of_the_tests_replaces_its_own_results_only(project: pytest.Pytester) -> None:
    """After one test alone the others' last results still stand; after all of them, what is gone is gone."""
    both = MARKED + MARKED.replace("test_answer", "test_other").replace("import pytest", "")
    run(project, both)
    run(project, both, "-k", "other")
    assert len(results(project)) == 4
    run(project, MARKED)
    assert len(results(project)) == 2


def _both(outcome: str, control: str = "passed", *, row: str = "R01", test: str = "t.py::a") -> dict[str, Result]:
    return {
        f"{test}[plain]": Result(ids=[row], run="plain", outcome=outcome),
        f"{test}[control]": Result(ids=[row], run="control", outcome=control, saw="AssertionError"),
    }


def _unheld(test: str = "t.py::a") -> dict[str, Result]:
    return {f"{test}[plain]": Result(ids=["R01"], run="plain", outcome="unheld", saw="41 of 42")}


@pytest.mark.parametrize(
    ("results", "state"),
    [
        ({}, "open"),
        (_both("passed"), "shown"),
        (_both("failed"), "failing"),
        (_both("passed", "failed"), "failing"),
        (_both("passed", "skipped"), "skipped"),
        (_both("passed") | _both("skipped", "skipped", test="t.py::b"), "shown"),
        (_both("passed") | _both("failed", test="t.py::b"), "failing"),
        (_unheld(), "open"),
        (_both("passed") | _unheld("t.py::b"), "in part"),
        (_both("failed") | _unheld("t.py::b"), "failing"),
        ({"t.py::a[plain]": Result(ids=["R01"], run="plain", outcome="passed")}, "skipped"),
    ],
)
def test_the_state_of_a_row(results: dict[str, Result], state: str) -> None:
    """Shown needs a pass and a control that failed; one failure outweighs everything."""
    assert evidence_table.evidence(results)["R01"].state == state


def test_every_row_is_in_the_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """R01 to R61 and T01 to T28, each with a title; rows outside a device's reach say why; the same as JSON."""
    expected = [f"R{n:02}" for n in range(1, 62)] + [f"T{n:02}" for n in range(1, 29)]
    path = tmp_path / "results.json"
    evidence_table.store(path, _both("passed"))
    assert evidence_table.main(["--results", str(path)]) == 0
    shown = capsys.readouterr().out
    assert [line[:3] for line in shown.splitlines() if line[:1] in "RT" and line[1:3].isdigit()] == expected
    assert "R01  shown" in shown
    assert "R02  open" in shown
    assert "R38  exempt" in shown
    evidence_table.main(["--results", str(path), "--json"])
    table = json.loads(capsys.readouterr().out)["rows"]
    assert list(table) == expected
    assert all(row["title"] for row in table.values())
    assert table["R38"]["note"]


def test_a_row_shown_by_others_needs_all_of_them() -> None:
    """R51 stands only where R29 to R32 stand."""
    three = {key: result for row in ("R29", "R30", "R31") for key, result in _both("passed", row=row, test=f"t.py::{row}").items()}
    assert evidence_table.evidence(three)["R51"].state == "open"
    assert evidence_table.evidence(three | _both("passed", row="R32"))["R51"].state == "shown"
    assert evidence_table.evidence(three | _both("failed", row="R32"))["R51"].state == "failing"


def test_unreadable_results_are_no_results(tmp_path: Path) -> None:
    """A torn results file shows nothing as passed."""
    path = tmp_path / "results.json"
    path.write_text('{"t.py::a[plain]": {"ids": ["R01"]', encoding="utf-8")
    assert evidence_table.load(path) == {}
