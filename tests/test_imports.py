"""Who may import whom, read from the source: layers, no cycles, and nothing heavy before it is needed."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "hanjax"
BASE = {"types", "masked", "compiled", "config", "settings", "errors", "notebook"}
"""Everyone may import these, except that `data` and `simulation` compute nothing with JAX, and so need no `JAX`."""
JAX = {"masked", "compiled"}
LIBRARY = ["data", "simulation", "nn", "evaluation", "training", "run", "scoring", "plot", "report", "checks"]
WINGS = ["labels", "features", "tabular", "explain", "monitoring", "registry", "spark"]
FRONT = {"reproduction", "demonstration", "cli", "options"}
ALLOWED = {
    **{name: BASE for name in BASE},
    "data": BASE - JAX,
    "simulation": BASE - JAX | {"data"},
    "nn": BASE,
    "evaluation": BASE,
    "training": BASE | {"nn", "evaluation", "data.batches"},
    "run": BASE | {"data", "nn", "training.checkpoint", "evaluation.calibration"},
    "scoring": BASE | {"nn", "data", "evaluation", "run", "tabular"},
    "plot": BASE | {"evaluation"},
    "report": BASE | {"plot", "evaluation", "scoring"},
    "checks": BASE | {"scoring", "data", "nn", "run", "features"},
    "labels": BASE | {"data", "evaluation"},
    "features": BASE | {"data", "evaluation", "plot"},
    "tabular": BASE | {"data", "evaluation", "run"},
    "explain": BASE | {"nn", "data", "evaluation", "run", "tabular", "scoring"},
    "monitoring": BASE | {"data", "evaluation", "plot", "report"},
    "registry": BASE | {"evaluation", "run", "tabular"},
    "spark": BASE | {"nn", "data", "training", "run", "scoring"},
    "api": BASE | {*LIBRARY, *WINGS},
    "population": BASE | {*LIBRARY, *WINGS, "api"},
    "scorer": BASE | {*LIBRARY, *WINGS, "api"},
    "workflow": BASE | {*LIBRARY, *WINGS, "api"},
    **{name: BASE | {*LIBRARY, *WINGS, "api", "population", "workflow"} | FRONT for name in FRONT},
    "__main__": FRONT,
}
"""The rule: what the modules of each part may import. A new part has to be added here."""


class Import(NamedTuple):
    """One imported name."""

    importer: str
    module: str
    name: str
    line: int
    at_top: bool

    def __str__(self) -> str:
        return f"{self.importer}, line {self.line}: {self.module}{self.name and ' -> '}{self.name}"


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def find_imports(importer: str, nodes: list[ast.stmt], at_top: bool = True) -> Iterator[Import]:
    """Every import of a module, also within functions, but for those that only a type checker sees."""
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(importer, alias.name, "", node.lineno, at_top)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{importer}, line {node.lineno}: relative import"
            for alias in node.names:
                yield Import(importer, node.module or "", alias.name, node.lineno, at_top)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from find_imports(importer, node.orelse, at_top)
        else:
            inside = at_top and not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            for part in ("body", "orelse", "finalbody", "handlers", "cases"):
                yield from find_imports(importer, getattr(node, part, []), inside)


IMPORTS = [found for name, path in MODULES.items() for found in find_imports(name, ast.parse(path.read_text()).body)]
WITHIN = [found for found in IMPORTS if found.module.split(".")[0] == "hanjax"]
OUTSIDE = [found for found in IMPORTS if found.module.split(".")[0] != "hanjax"]


def target(found: Import) -> str:
    """The module that an import reaches: `from hanjax.data import splits` reaches hanjax.data.splits."""
    whole = f"{found.module}.{found.name}"
    return whole if whole in MODULES else found.module


def part(module: str) -> str:
    return module.split(".")[1] if "." in module else ""


def test_there_is_something_to_check():
    assert len(MODULES) > 20 and len(WITHIN) > 50 and len(OUTSIDE) > 50


@pytest.mark.parametrize("name", sorted({part(module) for module in MODULES} - {""}))
def test_each_part_imports_only_what_it_may(name):
    assert name in ALLOWED, f"hanjax.{name} is new: say in ALLOWED what it may import."
    wrong = []
    for found in WITHIN:
        reached = target(found).removeprefix("hanjax").removeprefix(".")
        if part(found.importer) != name or part(target(found)) == name:
            continue
        root_only = reached == "" and found.name == "__version__"
        if not root_only and not any(f"{reached}.".startswith(f"{allowed}.") for allowed in ALLOWED[name]):
            wrong.append(str(found))
    assert not wrong, f"hanjax.{name} may import {sorted(ALLOWED[name])}."


def test_the_package_itself_imports_nothing_at_its_top():
    assert not [str(found) for found in WITHIN if found.importer == "hanjax"]


def test_there_is_no_cycle():
    graph = {module: set() for module in MODULES}
    for found in WITHIN:
        if target(found) != "hanjax":
            graph[found.importer].add(target(found))
    list(TopologicalSorter(graph).static_order())  # raises CycleError, which names the cycle


def library(found: Import) -> str:
    return found.module.split(".")[0]


def test_flax_is_used_in_nn_alone():
    assert not [str(found) for found in OUTSIDE if library(found) == "flax" and part(found.importer) != "nn"]


def test_nothing_is_computed_with_jax_where_data_are_made():
    plain = {"data", "simulation", "types", "config", "settings", "errors"}
    computing = {"jax", "jaxlib", "optax", "chex", "flax"}
    assert not [str(found) for found in OUTSIDE if part(found.importer) in plain and library(found) in computing]


def test_what_is_imported_at_the_top_is_a_dependency():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {requirement.split(">")[0].split("[")[0] for requirement in project["dependencies"]}
    declared = {
        {"orbax-checkpoint": "orbax", "scikit-learn": "sklearn", "pyyaml": "yaml"}.get(name, name) for name in declared
    }
    allowed = declared - {"matplotlib"} | set(sys.stdlib_module_names)  # pictures are a function's own business
    assert not [str(found) for found in OUTSIDE if found.at_top and library(found) not in allowed]


HEAVY = "jax numpy pandas flax optax orbax pyarrow narwhals matplotlib chex jaxtyping tqdm".split()


@pytest.mark.parametrize("statement", ["import hanjax", "import hanjax.cli", "import hanjax; dir(hanjax)"])
def test_importing_costs_nothing(statement):
    code = f"import sys; {statement}; print(*sorted(set({HEAVY}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
