"""docs/findings.md is the table of what the product can find: every code with its severity, and each caused by a test that sees it."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.sources import ROOT, Module, modules
from tests.test_imports import plant

ROW = re.compile(r"^\| `([a-z-]+)` \| ([a-z, ]+) \| (\S.*) \| (\S.*) \|$", re.MULTILINE)
Severities = dict[str, set[str]]


def documented() -> dict[str, tuple[set[str], str, str]]:
    """Code -> severities, what it means, what to do."""
    text = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    return {code: (set(severity.split(", ")), means, do) for code, severity, means, do in ROW.findall(text)}


def constant(node: ast.expr | None) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def called(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name


def makers(found: Mapping[str, Module]) -> dict[str, str]:
    """Functions that make a finding of their parameter `code` -> its severity."""
    said = {}
    for module in found.values():
        for function in ast.walk(module.tree):
            if isinstance(function, ast.FunctionDef) and [one.arg for one in function.args.args][:1] == ["code"]:
                for node in ast.walk(function):
                    if isinstance(node, ast.Call) and called(node, "Finding"):
                        keywords = {one.arg: one.value for one in node.keywords}
                        said[function.name] = constant(keywords["severity"]) or ""
    return said


def given(found: Mapping[str, Module]) -> tuple[Severities, list[str]]:
    """Code -> severities, of every finding that the source makes; and places where a code or severity is not written out."""
    codes: Severities = defaultdict(set)
    unclear: list[str] = []
    by_maker = makers(found)
    for name, module in found.items():
        for node, inside in calls(module.tree):
            if called(node, "Finding"):
                keywords = {one.arg: one.value for one in node.keywords}
                code, severity = constant(keywords.get("code")), constant(keywords.get("severity"))
                passed_on = inside in by_maker or None in keywords  # None: ** of what another process said
            elif isinstance(node.func, ast.Name) and node.func.id in by_maker:
                code, severity, passed_on = constant(node.args[0]) if node.args else None, by_maker[node.func.id], False
            else:
                continue
            if code and severity:
                codes[code].add(severity)
            elif not passed_on:
                unclear.append(f"{name}:{node.lineno}")
    return dict(codes), unclear


def calls(tree: ast.AST, inside: str = "") -> Iterator[tuple[ast.Call, str]]:
    """Every call, with the name of the function around it."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call):
            yield node, inside
        yield from calls(node, node.name if isinstance(node, ast.FunctionDef) else inside)


def marked(root: Path = ROOT) -> set[str]:
    """Codes that a marker of a test names, or a case of one. That they are really seen is the marker's own matter."""
    codes = set()
    for path in (root / "tests").rglob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                if isinstance(node.func, ast.Attribute) and node.func.attr == "finding":
                    codes |= {code for argument in node.args if (code := constant(argument))}
                elif called(node, "fault") and node.args and (code := constant(node.args[0])):
                    codes.add(code)
    return codes


def test_every_code_and_severity_is_written_out_where_it_is_said() -> None:
    """Else the table could not be compared with it."""
    assert given(modules())[1] == []


def test_the_table_has_every_code_and_no_other() -> None:
    """With each severity that it can have."""
    assert {code: severities for code, (severities, _, _) in documented().items()} == given(modules())[0]


def test_each_code_is_caused_by_a_test_that_sees_it() -> None:
    """The markers are held to it by tests/findings.py."""
    assert marked() == given(modules())[0].keys()


def test_a_code_stands_in_the_table_once_and_in_order() -> None:
    """Each part of it can be searched by eye."""
    text = (ROOT / "docs" / "findings.md").read_text(encoding="utf-8")
    parts = [[code for code, *_ in ROW.findall(part)] for part in text.split("\n## ")]
    assert parts == [sorted(part) for part in parts]
    assert len(documented()) == len(ROW.findall(text))


# -- the tests can fail -----------------------------------------------------------------------------------------------


def test_planted_codes_are_read(tmp_path: Path) -> None:
    """By the type, by a helper; one that is put together is unclear, what is passed on from elsewhere is not."""
    helper = "def error(code, text):\n    return Finding(code=code, severity='error', text=text)\n"
    plant(tmp_path, "agent.a", helper + "x = error('by-helper', '')\ny = error(f'{x}-late', '')\n")
    plant(
        tmp_path, "agent.b", "x = Finding(code='by-type', severity='info')\ny = Finding(code=f'{x}-a', severity='info')\nz = Finding(**x)\n"
    )
    assert given(modules(tmp_path)) == ({"by-helper": {"error"}, "by-type": {"info"}}, ["agent.a:4", "agent.b:2"])


def test_a_marker_is_no_proof_by_itself(pytester: pytest.Pytester) -> None:
    """A test that makes the finding itself, or none, fails; one that has the product make it passes."""
    pytester.makeconftest(f"import sys\nsys.path.insert(0, {str(ROOT)!r})\npytest_plugins = ['tests.findings']\n")
    pytester.makepyfile(
        """
        import pytest
        from agent.model import Finding, info
        from tests.findings import fault

        @pytest.mark.finding("a-code")
        def test_nothing(): pass

        @pytest.mark.finding("a-code")
        def test_own(): Finding(code="a-code", severity="info", text="", hint="")

        @pytest.mark.parametrize("code", [fault("a-code"), fault("b-code")])
        def test_product(code): info("a-code", "", "")
        """
    )
    done = pytester.runpytest_subprocess("-p", "no:randomly", "-p", "no:cacheprovider")
    done.assert_outcomes(passed=1, failed=3)
    done.stdout.fnmatch_lines(["*the product did not find b-code"])
