"""The layers of the library, and nothing imports upwards. This tuple is their documentation."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "multidir"

LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "types", "resources", "progress"),
    ("config",),
    ("linalg", "stats"),
    ("records",),
    ("store",),
    ("chat",),
    ("models",),
    ("annotate",),
    ("organism",),
    ("tuning",),
    ("methods",),
    ("sae",),
    ("steer",),
    ("exchange",),
    ("experiments",),
    ("report",),
    ("recipes",),
    ("notebook",),
    ("cli", "__main__"),
)
"""Lowest first. A module may import its own layer and those above it in this list."""

PURE = ("errors", "types", "linalg", "stats", "records")
"""What may use numpy, scipy and the standard library only."""

LIGHT = frozenset({"numpy", "scipy", "array_api_compat", "multidir", *sys.stdlib_module_names})


def rank(part: str) -> int:
    return next(i for i, layer in enumerate(LAYERS) if part in layer)


def imports(file: Path, at_import_only: bool = False) -> set[str]:
    """Full names of what a file imports; with `at_import_only`, what it imports when it is itself imported."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    skipped: set[ast.AST] = set()
    if at_import_only:
        for node in ast.walk(tree):
            checking = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            if checking or isinstance(node, ast.FunctionDef):
                skipped.update(ast.walk(node))
    found: set[str] = set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | (
                {f"multidir.{a.name}" for a in node.names} if node.module == "multidir" else set()
            )
    return found


def part_of(file: Path) -> str:
    return file.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = sorted(file for file in PACKAGE.rglob("*.py") if "_data" not in file.parts and file.name != "__init__.py")


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(PACKAGE)))
def test_nothing_imports_upwards(file: Path) -> None:
    mine = rank(part_of(file))
    upward = {name for name in imports(file) if name.startswith("multidir.") and rank(name.split(".")[1]) > mine}
    assert not upward


EXPERIMENTS = (
    "settings",
    "score",
    "choose",
    "results",
    "cells",
    "budget",
    "deciding",
    "paper",
    "corpus",
    "directions",
    "steering",
    "density",
    "dictionaries",
    "probes",
    "candidates",
    "ablation",
    "combination",
    "protocol",
    "mixtures",
    "power",
    "reasoner",
)
"""The order within experiments/, lowest first: modules that all share, packages, and what stands over them."""


def floor(file: Path) -> int:
    """Where a package of experiments/ stands among the others; -1 for all that lies in no such package."""
    parts = file.relative_to(PACKAGE).parts
    return EXPERIMENTS.index(parts[1]) if parts[0] == "experiments" and len(parts) > 2 else -1


def unit_of(module: str) -> str:
    """The package or flat module of `multidir.experiments.x.y`."""
    return module.split(".")[2]


@pytest.mark.parametrize(
    "file", [f for f in FILES if part_of(f) == "experiments"], ids=lambda f: str(f.relative_to(PACKAGE))
)
def test_nor_upwards_within_experiments(file: Path) -> None:
    mine = EXPERIMENTS.index(file.relative_to(PACKAGE).parts[1].removesuffix(".py"))
    units = {unit_of(name) for name in imports(file) if name.startswith("multidir.experiments.")}
    assert not {unit for unit in units if EXPERIMENTS.index(unit) > mine}


def test_every_experiment_has_its_place() -> None:
    assert {f.relative_to(PACKAGE).parts[1].removesuffix(".py") for f in FILES if part_of(f) == "experiments"} == {
        *EXPERIMENTS
    }


@pytest.mark.parametrize("file", [f for f in FILES if part_of(f) in PURE], ids=lambda f: str(f.relative_to(PACKAGE)))
def test_pure_layers_are_pure(file: Path) -> None:
    assert {name.split(".")[0] for name in imports(file, at_import_only=True)} <= LIGHT


def test_every_part_has_a_layer() -> None:
    parts = {part_of(file) for file in FILES} - {"_data"}
    assert parts == {part for layer in LAYERS for part in layer}


def test_an_upward_import_would_be_seen(tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text("from multidir import cli\nfrom multidir.report.page import Page\n")
    assert {"multidir.cli", "multidir.report.page"} <= imports(file)


def test_import_is_light() -> None:
    heavy = ("torch", "sae_lens", "matplotlib", "openai", "h5py")
    code = f"import sys, multidir, multidir.cli; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
