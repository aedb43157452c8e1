"""Which part of the product may know which other part, with the reason on each line (docs/design.md has the picture).

Each rule is also shown a planted violation, so that a rule that can find nothing fails here.
"""

from __future__ import annotations

import ast
import importlib.util
import io
import subprocess
import sys
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.sources import ROOT, Module, modules, reached, within

LAYERS: tuple[tuple[str, ...], ...] = (
    ("agent.errors", "agent.limits", "agent.units", "agent.vss", "hw.errors", "hw.ports"),
    ("agent.clock", "agent.folders", "agent.model", "agent.notify"),
    (
        *(
            "agent.allowed",
            "agent.bits",
            "agent.body",
            "agent.crash",
            "agent.envelope",
            "agent.expression",
            "agent.formula",
            "agent.kuksa",
            "agent.link",
            "agent.mqtt",
        ),
        *("agent.sections", "agent.settings", "agent.toml", "agent.vehicle", "hw"),
    ),
    ("agent.catalogue",),
    ("agent.entitlements", "agent.policy", "agent.seal", "agent.storage"),
    ("agent.buffer", "agent.consent"),
    ("agent.audit", "agent.collect", "agent.health", "agent.plan"),
    ("agent.core", "agent.retention", "agent.rights", "agent.uplink"),
    ("agent.control", "agent.ecall"),
    ("agent.daemons",),
    ("agent.cli",),
)
"""From the ground up: a layer imports itself and what lies below. A new top-level module is entered here first."""

LEAVES = (*LAYERS[0], *LAYERS[1], *LAYERS[2][:-1])
DAEMONS = ("agent.daemons.core", "agent.daemons.ecall", "agent.daemons.uplink")


@dataclass(frozen=True)
class Never:
    """`who` imports none of `what`; `through`: nor does anything that it imports."""

    who: tuple[str, ...]
    what: tuple[str, ...]
    because: str
    through: bool = False


@dataclass(frozen=True)
class OnlyIn:
    """`what` is imported in `where` and nowhere else."""

    what: str
    where: tuple[str, ...]
    because: str


@dataclass(frozen=True)
class OfOursOnly:
    """Of the product, `who` imports `what` and nothing else."""

    who: tuple[str, ...]
    what: tuple[str, ...]
    because: str


Rule = Never | OnlyIn | OfOursOnly

RULES: tuple[Rule, ...] = (
    Never(("hw",), ("agent",), "drivers are replaced without reading the agent, and know nothing of rules or grants"),
    Never(
        ("agent.uplink", "agent.daemons.uplink"),
        (
            "hw",
            "agent.storage",
            "agent.buffer",
            "agent.seal",
            "agent.collect",
            "agent.plan",
            "agent.consent",
            "can",
            "serial",
            "sqlcipher3",
        ),
        "the process with internet has neither the car nor a database nor a data key, only sealed bytes",
        through=True,
    ),
    Never(
        DAEMONS, ("agent.cli", "rich"), "what runs all day has no terminal; click comes with sqlite-utils and is tolerated", through=True
    ),
    Never(DAEMONS, ("amqtt", "hw.bench"), "the bench's broker and devices are no part of a car", through=True),
    Never(
        ("agent", "hw.can", "hw.gnss", "hw.ports"), ("numpy", "pandas", "asammdf"), "hundreds of megabytes that no device has", through=True
    ),
    Never(
        ("agent.ecall", "agent.daemons.ecall"),
        (
            *("agent.storage", "agent.buffer", "agent.seal", "agent.catalogue", "agent.consent", "agent.policy", "agent.plan"),
            *("agent.collect", "agent.core", "agent.uplink", "sqlcipher3", "sqlite_utils"),
        ),
        "it works when they are broken, and asks no grant, package, catalogue or database",
        through=True,
    ),
    Never(("agent.collect",), ("agent.consent", "agent.policy", "agent.plan"), "whether is decided before; here only how"),
    Never(
        ("agent.plan.compile",), ("agent.storage", "agent.clock", "hw", "time", "os", "random"), "the decision is a function of its inputs"
    ),
    OfOursOnly(LEAVES, LEAVES, "leaves can be used by every process, the emergency call too"),
    OfOursOnly(("agent.ecall",), (*LEAVES, "hw", "agent.ecall"), "the emergency call needs no other part of the agent"),
    OnlyIn("can", ("hw.can", "hw.bench"), "python-can stands behind the port; nobody else can reach the bus"),
    OnlyIn("serial", ("hw",), "ports of devices are opened in one place"),
    OnlyIn("pynmeagps", ("hw.gnss",), "NMEA stays behind the port"),
    OnlyIn("gpiod", ("hw.sos.kernel",), "a test that needs no chip takes another line; the package is loaded where one is configured"),
    OnlyIn("paho", ("agent.mqtt.connection",), "its callbacks and traps are held in one adapter"),
    OnlyIn("sqlcipher3", ("agent.storage",), "a database is opened with its key and pragmas or not at all"),
    OnlyIn("sqlite3", ("agent.storage",), "the standard library's SQLite writes in the clear; its types and error codes are all we need"),
    OnlyIn("amqtt", ("hw.bench",), "only the bench has a broker"),
    OnlyIn("rich", ("agent.cli",), "for people at a terminal"),
    OnlyIn("click", ("agent.cli",), "for people at a terminal"),
    OnlyIn("asyncio", ("hw.bench",), "threads and blocking calls; the bench's broker is the exception"),
)


def _in_any(name: str, areas: Iterable[str]) -> bool:
    return any(within(name, area) for area in areas)


def broken_by(rule: Rule, found: Mapping[str, Module]) -> list[str]:
    """What in `found` breaks `rule`, one line each."""
    broken: list[str] = []
    for name, module in found.items():
        if isinstance(rule, Never) and _in_any(name, rule.who):
            via = reached(name, found) if rule.through else dict.fromkeys(module.imports, name)
            broken += [f"{name} imports {what} (in {via[what]}): {rule.because}" for what in via if _in_any(what, rule.what)]
        elif isinstance(rule, OnlyIn) and not _in_any(name, rule.where):
            broken += [f"{name} imports {what}: {rule.because}" for what in module.imports if within(what, rule.what)]
        elif isinstance(rule, OfOursOnly) and _in_any(name, rule.who):
            ours = [what for what in module.imports if _in_any(what, ("agent", "hw"))]
            broken += [f"{name} imports {what}: {rule.because}" for what in ours if not _in_any(what, rule.what)]
    return sorted(broken)


def layer_of(name: str) -> int:
    """The number of the layer, by the longest entry that fits; -1 where none does."""
    fits = [(len(entry), n) for n, layer in enumerate(LAYERS) for entry in layer if within(name, entry)]
    return max(fits)[1] if fits else -1


def upward(found: Mapping[str, Module]) -> list[str]:
    """Imports of a higher layer, and modules that stand in none."""
    ours = {name: module for name, module in found.items() if name != "agent"}
    broken = [f"{name} stands in no layer" for name in ours if layer_of(name) < 0]
    for name, module in ours.items():
        above = [what for what in module.imports if what in ours and layer_of(what) > layer_of(name)]
        broken += [f"{name} imports {what}, which lies above it" for what in above]
    return sorted(broken)


def _part(name: str) -> str:
    return "hw" if within(name, "hw") else ".".join(name.split(".")[:2])


def cycles(edges: Mapping[str, Iterable[str]]) -> list[str]:
    """Names that reach themselves."""
    found = []
    for start in edges:
        seen: set[str] = set()
        waiting = [what for what in edges[start] if what != start]
        while waiting:
            name = waiting.pop()
            if name not in seen:
                seen.add(name)
                waiting += edges.get(name, ())
        if start in seen:
            found.append(start)
    return sorted(found)


def edges_of_parts(found: Mapping[str, Module]) -> dict[str, set[str]]:
    """Which part of the product (agent.plan, agent.model, hw ...) imports which other."""
    edges: dict[str, set[str]] = {}
    for name, module in found.items():
        edges.setdefault(_part(name), set()).update(_part(what) for what in module.imports if what in found)
    return {part: whats - {part} for part, whats in edges.items()}


def makers_of(what: str, where: str, found: Mapping[str, Module]) -> list[str]:
    """Where a `what` is made outside of `where`."""
    return [
        f"{name}:{node.lineno}"
        for name, module in found.items()
        if not within(name, where)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call) and what in {getattr(node.func, "id", ""), getattr(node.func, "attr", "")}
    ]


MAY_SAY_CONSENT = tuple(
    f"agent.{part}" for part in ("catalogue", "consent", "plan", "policy", "control", "core", "rights", "cli", "daemons")
)
"""`core` carries the ledger's facts to the plan compiler; it decides nothing of them."""


def sayers_of_consent(found: Mapping[str, Module]) -> list[str]:
    """Identifiers with the word outside the places where it is decided or shown. Comments and strings are free."""
    said = []
    for name, module in found.items():
        if not _in_any(name, MAY_SAY_CONSENT):
            tokens = tokenize.generate_tokens(io.StringIO(module.text).readline)
            said += [f"{name}:{t.start[0]} {t.string}" for t in tokens if t.type == tokenize.NAME and "consent" in t.string.lower()]
    return said


def openers_of_databases(found: Mapping[str, Module]) -> list[str]:
    """Calls that open a database in the clear, or one anywhere but in the storage."""
    calls = [
        (name, node.lineno, ast.unparse(node.func))
        for name, module in found.items()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
    ]
    opening = ("sqlite3.connect", "sqlcipher3.connect", "sqlcipher3.dbapi2.connect", "sqlite_utils.Database")
    allowed = opening[1:]
    return [
        f"{name}:{line} {call}" for name, line, call in calls if call in opening and not (within(name, "agent.storage") and call in allowed)
    ]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.because))
def test_no_forbidden_import(rule: Rule) -> None:
    """The product keeps the rule."""
    assert broken_by(rule, modules()) == []


def test_imports_point_downwards() -> None:
    """Every module stands in a layer and imports its own layer or lower ones."""
    assert upward(modules()) == []


def test_no_part_imports_itself_through_others() -> None:
    """There is an order in which the parts can be read."""
    assert cycles(edges_of_parts(modules())) == []


def test_no_module_imports_itself_through_others() -> None:
    """So can the modules."""
    found = modules()
    assert cycles({name: [what for what in module.imports if what in found] for name, module in found.items()}) == []


def test_only_the_minimiser_makes_samples() -> None:
    """What was not minimised cannot be stored or sent, because it never becomes a Sample."""
    assert makers_of("Sample", "agent.collect.minimise", modules()) == []


def test_only_the_plan_makes_rules() -> None:
    """What was not decided there cannot leave, because nothing else is a Rule."""
    assert makers_of("Rule", "agent.plan", modules()) == []


def test_consent_is_decided_in_one_place() -> None:
    """Elsewhere there is a `basis_ref`, which nobody can mistake for a decision."""
    assert sayers_of_consent(modules()) == []


def test_databases_are_opened_in_the_storage_only() -> None:
    """So each has its key and its pragmas, and none is in the clear."""
    assert openers_of_databases(modules()) == []


@pytest.mark.parametrize(
    ("daemon", "never"),
    [
        ("agent.daemons.core", ("rich", "amqtt", "agent.cli", "hw.bench", "numpy", "pandas", "paho")),
        (
            "agent.daemons.uplink",
            ("rich", "amqtt", "agent.cli", "hw", "can", "serial", "sqlcipher3", "agent.storage", "agent.seal", "numpy"),
        ),
    ],
)
def test_a_daemon_loads_nothing_that_it_must_not_know(daemon: str, never: tuple[str, ...]) -> None:
    """What the source says holds in a running interpreter too."""
    if daemon not in modules():
        pytest.skip(f"{daemon} does not exist yet")
    ask = f"import sys, {daemon}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", ask], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert daemon in loaded
    assert [name for name in loaded if _in_any(name, never)] == []


def test_every_rule_names_something_that_exists() -> None:
    """A rule about a package that nobody has says nothing."""
    others = {rule.what for rule in RULES if isinstance(rule, OnlyIn)}
    assert [name for name in sorted(others) if importlib.util.find_spec(name) is None] == []


# -- each rule finds a planted violation ------------------------------------------------------------------------------


def plant(root: Path, name: str, text: str) -> None:
    path = root.joinpath(*name.split(".")).with_suffix(".py")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _victim(rule: Rule) -> tuple[str, str]:
    """A module that the rule speaks of, and what it must not import."""
    if isinstance(rule, Never):
        return f"{rule.who[0]}.planted", rule.what[0]
    if isinstance(rule, OnlyIn):
        return "agent.elsewhere", rule.what
    return f"{rule.who[0]}.planted", "agent.elsewhere"


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule.because))
def test_a_planted_import_is_found(rule: Rule, tmp_path: Path) -> None:
    """Directly, and through a third module where the rule looks that far; the empty tree has none."""
    who, what = _victim(rule)
    plant(tmp_path, "agent.elsewhere", "")
    assert broken_by(rule, modules(tmp_path)) == []
    plant(tmp_path, who, f"def later():\n    import {what}\n")
    assert len(broken_by(rule, modules(tmp_path))) == 1
    if isinstance(rule, Never) and rule.through:
        plant(tmp_path, who, "from agent import between\n")
        plant(tmp_path, "agent.between", f"from {what} import something\n")
        assert any(line.startswith(f"{who} imports {what} (in agent.between)") for line in broken_by(rule, modules(tmp_path)))


def test_a_planted_upward_import_is_found(tmp_path: Path) -> None:
    """So are a module without a layer, and a cycle of two parts."""
    plant(tmp_path, "agent.plan.compile", "import agent.buffer.store\n")
    plant(tmp_path, "agent.buffer.store", "from agent.plan import compile\n")
    plant(tmp_path, "agent.novelty", "")
    found = modules(tmp_path)
    assert upward(found) == ["agent.buffer.store imports agent.plan.compile, which lies above it", "agent.novelty stands in no layer"]
    assert cycles(edges_of_parts(found)) == ["agent.buffer", "agent.plan"]


def test_a_planted_sample_word_and_database_are_found(tmp_path: Path) -> None:
    """The syntax checks see calls, names and attributes, and leave comments and strings alone."""
    plant(tmp_path, "agent.collect.pipeline", "from agent import model\nx = model.Sample(1)\ny = Sample\nz = model.Rule(1)\n")
    plant(tmp_path, "agent.collect.minimise", "x = Sample(1)\n")
    plant(tmp_path, "agent.buffer.store", '"""Consent."""\nhas_consent = 1  # consent\n')
    plant(tmp_path, "agent.plan.compile", "consent = Rule(1)\n")
    plant(tmp_path, "agent.storage.sqlite", "sqlcipher3.connect(1)\nsqlite3.connect(2)\n")
    plant(tmp_path, "agent.audit", "sqlite_utils.Database(1)\n")
    found = modules(tmp_path)
    assert makers_of("Rule", "agent.plan", found) == ["agent.collect.pipeline:4"]
    assert makers_of("Sample", "agent.collect.minimise", found) == ["agent.collect.pipeline:2"]
    assert sayers_of_consent(found) == ["agent.buffer.store:2 has_consent"]
    assert openers_of_databases(found) == ["agent.audit:1 sqlite_utils.Database", "agent.storage.sqlite:2 sqlite3.connect"]
