"""The product's source as data: modules, what each imports, its syntax tree. For the tests that the repository asks of itself.

Reads files only; imports nothing of the product. A tree can be given, so that each rule can be shown a planted violation.
"""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("agent", "hw")


@dataclass(frozen=True)
class Module:
    """One source file. `imports`: dotted names, of ours as deep as a module goes, of others as written."""

    name: str
    path: Path
    text: str
    tree: ast.Module
    imports: frozenset[str]
    mentions: frozenset[str]
    """Modules of ours that a string constant names: imported by name at run time."""


def modules(root: Path = ROOT) -> Mapping[str, Module]:
    """Every module of agent and hw by its dotted name. A file that cannot be parsed is a SyntaxError that names it."""
    return _modules(root) if root == ROOT else _read(root)


@functools.cache
def _modules(root: Path) -> Mapping[str, Module]:
    return _read(root)


def _read(root: Path) -> Mapping[str, Module]:
    paths = {_dotted(path.relative_to(root)): path for package in PACKAGES for path in sorted((root / package).rglob("*.py"))}
    return {name: _module(name, path, frozenset(paths)) for name, path in paths.items()}


def _dotted(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _module(name: str, path: Path, known: frozenset[str]) -> Module:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text, str(path))
    imports = frozenset(_imports(tree, known))
    strings = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return Module(name, path, text, tree, imports, frozenset({text.partition(":")[0] for text in strings} & known))


def _imports(tree: ast.Module, known: frozenset[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                deeper = f"{node.module}.{alias.name}"
                yield deeper if deeper in known else node.module


def within(name: str, area: str) -> bool:
    """Whether the dotted `name` is `area` or lies in it."""
    return name == area or name.startswith(f"{area}.")


def reached(start: str, found: Mapping[str, Module]) -> dict[str, str]:
    """Everything that `start` imports, at once or through modules of ours: name -> the module that imports it."""
    via: dict[str, str] = {}
    waiting = [start]
    while waiting:
        name = waiting.pop()
        for imported in sorted(found[name].imports) if name in found else ():
            if imported not in via:
                via[imported] = name
                waiting.append(imported)
    return via


def _made_by_a_tool(part: str) -> bool:
    return part in {"__pycache__", "build", "dist"} or part.endswith(".egg-info") or (part[0] == "." and part not in {".ci", ".gitignore"})


def project_files(root: Path = ROOT) -> list[Path]:
    """Every file that belongs to the project: what git tracks or would track; without git, what no tool has made."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=root, capture_output=True, text=True, check=False
    )
    if listed.returncode == 0:
        paths = [root / name for name in listed.stdout.split("\0") if name]
    else:
        paths = [path for path in root.rglob("*") if not any(_made_by_a_tool(part) for part in path.relative_to(root).parts)]
    return sorted(path for path in paths if path.is_file())
