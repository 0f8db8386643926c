"""The house rules that a syntax tree can show. Each rule is also shown a planted violation."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
PACKAGE = CHECKOUT / "alignaudit"

FLOORS = {
    "errors": 0,
    "core": 1,
    "measure": 2,
    "infer": 2,
    "world": 2,
    "experiment": 3,
    "analysis": 3,
    "report": 4,
    "cli": 5,
}
# What a package may import beside errors, core and itself. Whoever is missing here may import neither more.
NEIGHBOURS = {
    "experiment": {"measure", "world"},
    "analysis": {"infer", "measure"},
    "report": {"analysis", "infer"},
    "cli": set(FLOORS),
}
# Where a third-party package may be imported: everywhere below one of these modules.
HOMES = {
    "torch": ("experiment",),
    "transformers": ("experiment",),
    "tokenizers": ("experiment",),
    "safetensors": ("experiment",),
    "datasets": ("experiment",),
    "faiss": ("measure.index",),
    "array_api_compat": ("measure",),
    "regex": ("measure",),
    "altair": ("report",),
    "vl_convert": ("report",),
    "jinja2": ("report",),
    "markupsafe": ("report",),
    "statsmodels": ("infer",),
    "formulaic": ("infer.mixed",),
    "pydantic": ("core", "analysis"),
    "pyarrow": ("core",),
    "rich": ("cli.console",),
    "numpy": ("core", "measure", "infer", "world", "experiment", "analysis", "report"),
    "scipy": ("core", "measure", "infer", "world", "experiment", "analysis", "report"),
    "pandas": ("core", "infer", "experiment", "analysis", "report", "cli"),
}
COMES_WITH = {
    "markupsafe": "jinja2",
    "vl_convert": "altair",
    "faiss": "faiss-cpu",
    "array_api_compat": "array-api-compat",
}
FREE = {"", "__main__"}  # the package's own __init__ and __main__ stand above all floors
LAZY = ("", "cli", "experiment.tasks.hub", "measure.index")  # may import inside functions
RANDOM_TYPES = {"Generator", "SeedSequence", "BitGenerator", "PCG64", "default_rng"}
TORCH_DRAWS = {"rand", "randn", "randint", "randperm", "normal", "bernoulli", "multinomial"}


@dataclass(frozen=True)
class Module:
    """One file: ``name`` is its dotted place below the package, empty for the package itself."""

    name: str
    source: str
    is_package: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.source)

    @property
    def part(self) -> str:
        return self.name.split(".")[0]

    def below(self, *places: str) -> bool:
        return any(self.name == place or (place and self.name.startswith(f"{place}.")) for place in places)

    @cached_property
    def parents(self) -> dict[ast.AST, ast.AST]:
        return {child: node for node in ast.walk(self.tree) for child in ast.iter_child_nodes(node)}

    def ancestors(self, node: ast.AST) -> Iterator[ast.AST]:
        while node in self.parents:
            node = self.parents[node]
            yield node

    @cached_property
    def imports(self) -> list[tuple[ast.stmt, str]]:
        """Every import as a dotted name; ``from a import b`` counts as ``a.b``."""
        found: list[tuple[ast.stmt, str]] = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [(node, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = "." * node.level + (node.module or "")
                found += [(node, f"{base}.{alias.name}") for alias in node.names]
        return found

    @property
    def own_imports(self) -> list[tuple[ast.stmt, str]]:
        prefix = "alignaudit."
        return [(node, name.removeprefix(prefix)) for node, name in self.imports if name.startswith(prefix)]


def read_modules() -> list[Module]:
    modules = []
    for path in sorted(PACKAGE.rglob("*.py")):
        words = path.relative_to(PACKAGE).with_suffix("").parts
        package = words[-1] == "__init__"
        modules.append(Module(".".join(words[:-1] if package else words), path.read_text("utf-8"), package))
    return modules


MODULES = read_modules()
Rule = Callable[[Module], Iterator[str]]


def at(node: ast.stmt | ast.expr, words: str) -> str:
    return f"line {node.lineno}: {words}"


def dotted(node: ast.AST) -> str:
    """``a.b.c`` of a name or attribute; empty for anything else."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


# ------------------------------------------------------------------------------------------ rules


def only_lower_floors(module: Module) -> Iterator[str]:
    if module.name in FREE:
        return
    for node, name in module.own_imports:
        part = name.split(".")[0]
        if part != module.part and FLOORS[part] >= FLOORS[module.part]:
            yield at(node, f"imports alignaudit.{name} of floor {FLOORS[part]}")


def only_stated_neighbours(module: Module) -> Iterator[str]:
    if module.name in FREE:
        return
    allowed = {"errors", module.part} | NEIGHBOURS.get(module.part, set())
    if module.part != "errors":
        allowed.add("core")
    for node, name in module.own_imports:
        if name.split(".")[0] not in allowed:
            yield at(node, f"imports alignaudit.{name}")


def third_parties_at_home(module: Module) -> Iterator[str]:
    for node, name in module.imports:
        package = name.split(".")[0]
        if package in sys.stdlib_module_names or package == "alignaudit":
            continue
        if not module.below(*HOMES.get(package, ())):
            yield at(node, f"imports {name}")


def absolute_imports(module: Module) -> Iterator[str]:
    yield from (at(node, f"imports {name}") for node, name in module.imports if name.startswith("."))


def no_print(module: Module) -> Iterator[str]:
    if module.name == "cli.console":
        return
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and dotted(node.func) in {"print", "sys.stdout.write"}:
            yield at(node, dotted(node.func))


def no_global_randomness(module: Module) -> Iterator[str]:
    for node, name in module.imports:
        if name.split(".")[0] in {"random", "secrets"}:
            yield at(node, f"imports {name}")
        if name.startswith("numpy.random.") and name.split(".")[2] not in RANDOM_TYPES:
            yield at(node, f"imports {name}")
    for node in ast.walk(module.tree):
        name = dotted(node)
        for prefix in ("np.random.", "numpy.random."):
            if name.startswith(prefix) and name.removeprefix(prefix).split(".")[0] not in RANDOM_TYPES:
                yield at(node, name)  # type: ignore[arg-type]
        if isinstance(node, ast.Call):
            yield from _unseeded_call(module, node)


def _unseeded_call(module: Module, node: ast.Call) -> Iterator[str]:
    name = dotted(node.func)
    given = {keyword.arg for keyword in node.keywords}
    if name.endswith("random.default_rng") and not node.args and not node.keywords:
        yield at(node, "default_rng without a seed")
    if name.startswith("torch.") and name.removeprefix("torch.") in TORCH_DRAWS and "generator" not in given:
        yield at(node, f"{name} without a generator")
    if name in {"torch.manual_seed", "torch.seed", "torch.cuda.manual_seed", "torch.cuda.manual_seed_all"}:
        fenced = any(
            isinstance(around, ast.With)
            and any("fork_rng" in ast.unparse(item.context_expr) for item in around.items)
            for around in module.ancestors(node)
        )
        if not fenced:
            yield at(node, f"{name} outside fork_rng")


def no_bare_except(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.ExceptHandler) and node.type is None:
            yield f"line {node.lineno}: bare except"


def no_global_statement(module: Module) -> Iterator[str]:
    yield from (at(node, "global") for node in ast.walk(module.tree) if isinstance(node, ast.Global))


def imports_at_the_top(module: Module) -> Iterator[str]:
    if module.name == "" or module.below(*LAZY):
        return
    for node, name in module.imports:
        if any(isinstance(a, ast.FunctionDef | ast.AsyncFunctionDef) for a in module.ancestors(node)):
            yield at(node, f"imports {name} inside a function")


def module_docstring(module: Module) -> Iterator[str]:
    if not ast.get_docstring(module.tree) and module.source.strip():
        yield "no module docstring"


def under_400_lines(module: Module) -> Iterator[str]:
    lines = len(module.source.splitlines())
    if lines >= 400:
        yield f"{lines} lines"


def declared_names(module: Module) -> list[str] | None:
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and dotted(node.targets[0]) == "__all__":
            names = ast.literal_eval(node.value)
            assert isinstance(names, list)
            return names
    return None


def public_definitions(module: Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [node for node in module.tree.body if isinstance(node, kinds) and not node.name.startswith("_")]


def top_level_names(module: Module) -> set[str]:
    names = {node.name for node in public_definitions(module)}
    for node in module.tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        for target in targets:
            single = target.elts if isinstance(target, ast.Tuple) else [target]
            names |= {name.id for name in single if isinstance(name, ast.Name)}
    return names | {name.rpartition(".")[2] for _, name in module.imports}


def isort_order(name: str) -> tuple[int, str]:
    """CONSTANTS, then Classes, then functions, as ruff's RUF022 sorts them."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name


def sorted_complete_all(module: Module) -> Iterator[str]:
    if module.is_package or module.name == "__main__":
        return
    names = declared_names(module)
    if names is None:
        yield "no __all__"
        return
    if names != sorted(names, key=isort_order):
        yield "__all__ is not sorted"
    if len(set(names)) < len(names):
        yield "__all__ repeats a name"
    missing = sorted({node.name for node in public_definitions(module)} - set(names))
    if missing:
        yield f"__all__ lacks {', '.join(missing)}"
    ghosts = sorted(set(names) - top_level_names(module))
    if ghosts:
        yield f"__all__ names {', '.join(ghosts)}, which the module lacks"


def public_functions(module: Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Public functions, and public methods of public classes."""
    for node in public_definitions(module):
        if not isinstance(node, ast.ClassDef):
            yield node.name, node
            continue
        for inner in node.body:
            is_function = isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef)
            if is_function and not inner.name.startswith("_"):
                yield f"{node.name}.{inner.name}", inner


def says_what_it_returns(module: Module) -> Iterator[str]:
    for node in public_definitions(module):
        if isinstance(node, ast.ClassDef) and not ast.get_docstring(node):
            yield at(node, f"{node.name} has no docstring")
    for name, node in public_functions(module):
        text = ast.get_docstring(node) or ""
        gives = node.returns is None or ast.unparse(node.returns) not in ("None", "NoReturn")
        if not text:
            yield at(node, f"{name} has no docstring")
        elif gives and not _tells_result(text):
            yield at(node, f"{name} does not say what it returns")


def _tells_result(text: str) -> bool:
    """In a section of its own, or in the words of the first paragraph."""
    sections = {line.strip() for line in text.split("\n")}
    words = re.findall(r"[a-z]+", text.split("\n\n")[0].lower())
    return bool(sections & {"Returns", "Yields"}) or bool({"return", "yield", "iterate"} & set(words))


RULES: list[Rule] = [
    only_lower_floors,
    only_stated_neighbours,
    third_parties_at_home,
    absolute_imports,
    no_print,
    no_global_randomness,
    no_bare_except,
    no_global_statement,
    imports_at_the_top,
    module_docstring,
    under_400_lines,
    sorted_complete_all,
    says_what_it_returns,
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_every_module_keeps(rule):
    assert [f"{module.name}: {found}" for module in MODULES for found in rule(module)] == []


PLANTED = [
    (only_lower_floors, "core.x", "from alignaudit.measure import cka"),
    (only_lower_floors, "infer.x", "from alignaudit.measure.cka import cka"),
    (only_lower_floors, "analysis.x", "import alignaudit.experiment.run"),
    (only_stated_neighbours, "experiment.x", "from alignaudit.infer import paired"),
    (only_stated_neighbours, "report.x", "from alignaudit.experiment.run import measure"),
    (only_stated_neighbours, "errors", "from alignaudit.core import rng"),
    (third_parties_at_home, "core.x", "import torch"),
    (third_parties_at_home, "analysis.x", "def f():\n    from transformers.utils import logging"),
    (third_parties_at_home, "measure.retrieval", "import faiss"),
    (third_parties_at_home, "experiment.x", "import altair as alt"),
    (third_parties_at_home, "core.x", "import requests"),
    (absolute_imports, "core.x", "from . import rng"),
    (no_print, "report.x", "def f():\n    print('x')"),
    (no_global_randomness, "world.x", "import random"),
    (no_global_randomness, "world.x", "import numpy as np\nx = np.random.rand(3)"),
    (no_global_randomness, "world.x", "import numpy as np\nnp.random.seed(3)"),
    (no_global_randomness, "world.x", "from numpy.random import normal"),
    (no_global_randomness, "world.x", "import numpy as np\nx = np.random.default_rng()"),
    (no_global_randomness, "experiment.x", "import torch\ntorch.manual_seed(1)"),
    (no_global_randomness, "experiment.x", "import torch\nx = torch.randn(3)"),
    (no_bare_except, "core.x", "try:\n    pass\nexcept:\n    pass"),
    (no_global_statement, "core.x", "def f():\n    global state\n    state = 1"),
    (imports_at_the_top, "core.x", "def f():\n    import json"),
    (module_docstring, "core.x", "x = 1"),
    (under_400_lines, "core.x", "x = 1\n" * 400),
    (sorted_complete_all, "core.x", "x = 1"),
    (sorted_complete_all, "core.x", "__all__ = ['b', 'a']\nfrom c import a, b"),
    (sorted_complete_all, "core.x", "__all__ = ['b', 'Thing', 'CONSTANT']\nfrom c import Thing, b, CONSTANT"),
    (sorted_complete_all, "core.x", "__all__ = ['f']\ndef f(): ...\ndef g(): ..."),
    (sorted_complete_all, "core.x", "__all__ = ['f', 'g']\ndef f(): ..."),
    (says_what_it_returns, "core.x", "def f() -> int: ..."),
    (says_what_it_returns, "core.x", "def f() -> int:\n    'The number.'"),
    (says_what_it_returns, "core.x", "class A:\n    'A.'\n    def f(self) -> int: ..."),
    (says_what_it_returns, "core.x", "class A: ..."),
]


@pytest.mark.parametrize(("rule", "name", "source"), PLANTED)
def test_planted_violation_is_found(rule, name, source):
    assert list(rule(Module(name, source)))


KEPT = [
    (only_lower_floors, "cli.x", "from alignaudit.report.study import report"),
    (only_stated_neighbours, "analysis.x", "from alignaudit.infer import paired"),
    (third_parties_at_home, "measure.index", "def f():\n    import faiss"),
    (no_print, "cli.console", "print('x')"),
    (
        no_global_randomness,
        "experiment.x",
        "import torch\nwith torch.random.fork_rng():\n    torch.manual_seed(1)",
    ),
    (imports_at_the_top, "cli.x", "def f():\n    import json"),
    (sorted_complete_all, "core.x", "__all__ = ['CONSTANT', 'Thing', 'b']\nfrom c import Thing, b, CONSTANT"),
    (says_what_it_returns, "core.x", "def f() -> int:\n    'Return a number.'"),
    (says_what_it_returns, "core.x", "def f() -> None:\n    'Write.'"),
]


@pytest.mark.parametrize(("rule", "name", "source"), KEPT)
def test_what_a_rule_allows_passes(rule, name, source):
    assert list(rule(Module(name, source))) == []


# ------------------------------------------------------------------------------- the whole package


def import_graph(modules: list[Module]) -> dict[str, set[str]]:
    """Module → imported modules, both dotted below the package; type-checking imports count too."""
    known = {module.name for module in modules}
    graph: dict[str, set[str]] = {}
    for module in modules:
        edges = set()
        for _, name in module.own_imports:
            edges.add(name if name in known else name.rpartition(".")[0])
        graph[module.name] = edges - {module.name}
    return graph


def test_no_import_cycle():
    TopologicalSorter(import_graph(MODULES)).prepare()


def test_a_planted_cycle_is_found():
    two = [Module("core.a", "import alignaudit.core.b"), Module("core.b", "from alignaudit.core.a import x")]
    with pytest.raises(CycleError):
        TopologicalSorter(import_graph(two)).prepare()


def test_every_module_has_a_floor():
    parts = {module.part for module in MODULES}
    assert parts - {"", "__main__", "resources"} == set(FLOORS)


def test_third_parties_are_declared_dependencies():
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {text.split(">")[0].split("[")[0] for text in project["dependencies"]}
    assert {COMES_WITH.get(name, name) for name in HOMES} <= declared


@pytest.mark.parametrize("folder", ["experiments", "analysis"])
def test_declared_folders_are_no_packages(folder):
    assert list((CHECKOUT / folder).rglob("__init__.py")) == []


LIGHT = [
    "alignaudit",
    "alignaudit.core",
    *sorted(f"alignaudit.{module.name}" for module in MODULES if module.below("infer", "analysis", "report")),
]


def test_analysis_and_report_run_without_torch():
    program = f"""
        import importlib, sys

        class Blocker:
            def find_spec(self, name, path=None, target=None):
                if name.partition(".")[0] in {{"torch", "transformers", "tokenizers", "datasets"}}:
                    raise ImportError(name + " is blocked")

        sys.meta_path.insert(0, Blocker())
        for name in {LIGHT!r}:
            importlib.import_module(name)
        import alignaudit
        assert alignaudit.compare and alignaudit.report and alignaudit.load_study()
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
