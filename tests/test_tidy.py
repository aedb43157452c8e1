"""What the repository asks of itself: sizes, dead modules, words that do not belong here, files that parse.

Sizes are those of readable pieces, not a goal: a file or function at its limit wants to be two.
"""

from __future__ import annotations

import ast
import codecs
import configparser
import json
import re
import statistics
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.sources import PACKAGES, ROOT, Module, modules, project_files, within
from tests.test_imports import plant

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60
FUNCTION_LINES_P90_MAX = 30
LINE_MAX = 140

BINARY = {".png", ".gz", ".blf", ".mf4", ".cbor", ".bin", ".db"}


def _forbidden() -> dict[str, re.Pattern[str]]:
    """What no file of the project says. In rot13 or in pieces, so that this file does not say it either."""
    hosts = ["clcv.bet", "clgubaubfgrq.bet", "ertvfgel.acczwf", "ertvfgel.lnea", "qro.qrovna.bet", "frphevgl.qrovna.bet"]
    makers = [
        "pynhqr",
        "naguebcvp",
        "bcranv",
        "pungtcg",
        "pbcvybg",
        "tvguho pbcvybg",
        "ynathntr zbqry",
        "fhontrag",
        "fho-ntrag",
        "pb-nhguberq-ol",
    ]
    places = ["jbex", "snez", "ebbg"]
    return {
        "a note without an owner": re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X|HA" + r"CK)\b(?!\([a-z]+\))"),
        "a host of a package registry": re.compile("|".join(re.escape(codecs.decode(host, "rot13")) for host in hosts), re.IGNORECASE),
        "an index or a link page": re.compile(r"--(?:extra-)?index" + r"-url|--find" + r"-links|https?://\S+/simple\b"),
        "a word about who or what wrote it": re.compile(
            r"\b(?:" + "|".join(codecs.decode(maker, "rot13") for maker in makers) + r")\b", re.IGNORECASE
        ),
        "a path of one machine": re.compile(
            r"(?<![\w.~])/(?:" + "|".join(codecs.decode(place, "rot13") for place in places) + r")/|(?<![\w.])/home/\w"
        ),
    }


FORBIDDEN = _forbidden()


def texts(root: Path = ROOT) -> Iterator[tuple[Path, str]]:
    """Every text file of the project."""
    for path in project_files(root):
        if path.suffix.lower() not in BINARY and path.stat().st_size < 4 << 20:
            yield path.relative_to(root), path.read_text(encoding="utf-8", errors="replace")


def said(patterns: Mapping[str, re.Pattern[str]], files: Iterable[tuple[Path, str]]) -> list[str]:
    """Where one of the patterns stands: file, line, what it is."""
    found = []
    for path, text in files:
        for what, pattern in patterns.items():
            found += [f"{path}:{text.count(chr(10), 0, match.start()) + 1} {what}: {match[0]}" for match in pattern.finditer(text)]
    return found


def functions(found: Mapping[str, Module]) -> list[tuple[int, str]]:
    """Length in lines and place of every function, decorators not counted."""
    return sorted(
        ((node.end_lineno or node.lineno) - node.lineno + 1, f"{name}:{node.lineno} {node.name}")
        for name, module in found.items()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def entry_points(root: Path = ROOT) -> set[str]:
    """Modules that pyproject.toml names."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project.get("scripts", {}), *project.get("entry-points", {}).values()]
    return {target.partition(":")[0] for group in groups for target in group.values()}


def dead(found: Mapping[str, Module], entries: Iterable[str]) -> list[str]:
    """Modules that no module of the product imports or names, and that nobody can start."""
    named = {what for name, module in found.items() for what in (*module.imports, *module.mentions) if what != name}
    programs = {name for name, module in found.items() if module.path.name == "__main__.py" or "\nif __name__ ==" in module.text}
    packages = {name for name, module in found.items() if module.path.name == "__init__.py"}
    return sorted(set(found) - named - programs - packages - set(entries))


def printers(found: Mapping[str, Module]) -> list[str]:
    """Calls of print outside the command line."""
    return [
        f"{name}:{node.lineno}"
        for name, module in found.items()
        if not within(name, "agent.cli")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    ]


def python_files(root: Path = ROOT) -> list[Path]:
    return [path for path in project_files(root) if path.suffix == ".py" and path.relative_to(root).parts[0] in {*PACKAGES, "tests"}]


def unparsed(paths: Iterable[Path]) -> list[str]:
    """Configuration that its own format's reader refuses."""
    broken = []
    for path in paths:
        try:
            if path.suffix == ".toml":
                tomllib.loads(path.read_text(encoding="utf-8"))
            elif path.suffix == ".json":
                json.loads(path.read_text(encoding="utf-8"))
            elif path.suffix in {".service", ".target", ".socket", ".timer", ".network", ".netdev", ".path"}:
                unit = configparser.RawConfigParser(strict=False, allow_no_value=True, comment_prefixes=("#", ";"), delimiters=("=",))
                unit.read_string(path.read_text(encoding="utf-8"))
        except (ValueError, configparser.Error) as error:
            broken.append(f"{path}: {error}")
    return broken


def test_no_file_is_too_long() -> None:
    """Product and tests alike."""
    lines = {path: path.read_bytes().count(b"\n") for path in python_files()}
    assert {str(path.relative_to(ROOT)): n for path, n in lines.items() if n > FILE_LINES_MAX} == {}


def test_no_function_is_too_long() -> None:
    """The longest, and what most of them are like."""
    lengths = functions(modules())
    assert [(n, place) for n, place in lengths if n > FUNCTION_LINES_MAX] == []
    assert statistics.quantiles([n for n, _ in lengths], n=10)[-1] <= FUNCTION_LINES_P90_MAX


def test_no_line_is_too_long() -> None:
    """One width for everything that is a program, whatever its language."""
    programs = [(path, text) for path, text in texts() if path.suffix in {".py", ".sh", ".sql"} or path.name in {"Makefile", "run"}]
    assert [f"{path}:{n}" for path, text in programs for n, line in enumerate(text.splitlines(), 1) if len(line) > LINE_MAX] == []


def test_no_module_is_dead() -> None:
    """Every module is used by the product itself or is a command."""
    assert dead(modules(), entry_points()) == []


def test_nothing_forbidden_is_said() -> None:
    """No registry, no path of one machine, no note without an owner, nothing about how the project was made."""
    assert said(FORBIDDEN, texts()) == []


def test_the_product_writes_nowhere_by_chance() -> None:
    """A path for temporary files in product or configuration is a place where data of the car could stay."""
    temporary = {"a fixed place for temporary files": re.compile(r"(?<![\w.])/(?:var/)?tmp/")}
    shipped = [(path, text) for path, text in texts() if path.parts[0] in {*PACKAGES, "config", "systemd"}]
    assert said(temporary, shipped) == []


def test_only_the_command_line_prints() -> None:
    """What a daemon has to say goes to its findings and its log."""
    assert printers(modules()) == []


def test_configuration_parses() -> None:
    """Every TOML, JSON and systemd file can be read by its own format's reader."""
    assert unparsed(project_files()) == []


# -- each check finds what is planted ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "text"),
    [
        ("a note without an owner", "# TO" + "DO: later"),
        ("a host of a package registry", "see https://" + codecs.decode("clcv.bet", "rot13") + "/project"),
        ("an index or a link page", "--extra-index" + "-url https://mirror.example"),
        ("an index or a link page", "https://mirror.example/pypi/" + "simple"),
        ("a word about who or what wrote it", codecs.decode("Pb-Nhguberq-Ol", "rot13") + ": someone"),
        ("a path of one machine", 'open("/' + codecs.decode("jbex", "rot13") + '/main/x")'),
        ("a path of one machine", "/" + "home/somebody/x"),
    ],
)
def test_planted_words_are_found(what: str, text: str) -> None:
    """With file, line and what is wrong; an owned note and a path inside the project are none of it."""
    assert [line.split(": ")[0] for line in said(FORBIDDEN, [(Path("x.py"), f"a\n{text}\n")])] == [f"x.py:2 {what}"]
    fine = "TO" + "DO(anna): later, see hw/work/x and framework/homepage"
    assert said(FORBIDDEN, [(Path("x.py"), fine)]) == []


def test_planted_shapes_are_found(tmp_path: Path) -> None:
    """A long function, a dead module and a print."""
    body = "\n".join("    x = 1" for _ in range(70))
    plant(tmp_path, "agent.model", f"def long():\n{body}\n")
    plant(tmp_path, "agent.plan.compile", "import agent.model\nprint(1)\n")
    plant(tmp_path, "agent.cli.main", "print(2)\n")
    plant(tmp_path, "hw.registry", 'DRIVERS = {"can": "hw.can.bus:Bus"}\n')
    plant(tmp_path, "hw.can.bus", "")
    plant(tmp_path, "hw.bench.car", 'import sys\n\nif __name__ == "__main__":\n    sys.exit()\n')
    found = modules(tmp_path)
    assert functions(found)[-1] == (71, "agent.model:1 long")
    assert dead(found, {"hw.registry", "agent.cli.main"}) == ["agent.plan.compile"]
    assert printers(found) == ["agent.plan.compile:2"]


@pytest.mark.parametrize(("name", "text"), [("a.toml", "x = \n"), ("a.json", "{"), ("a.service", "Type=notify\n")])
def test_planted_broken_configuration_is_found(tmp_path: Path, name: str, text: str) -> None:
    """With the file's name."""
    (tmp_path / name).write_text(text, encoding="utf-8")
    assert len(unparsed([tmp_path / name])) == 1
