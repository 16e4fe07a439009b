"""The probe table: every kind of probe at one place, beside what text alone knows, shuffled labels, and the leak."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import torch

from multidir.errors import DesignError
from multidir.experiments.probes.grid import Grid
from multidir.experiments.probes.score import Columns, Scored, auroc_gap, interval, measured, ranked
from multidir.experiments.probes.settings import Probes
from multidir.experiments.probes.surface import surface_features
from multidir.methods.probe_folds import Folds, random_folds
from multidir.methods.probe_lasso import fit_lasso
from multidir.methods.probe_logistic import LinearProbes, Solver, fit_logistic
from multidir.methods.probe_means import fit_difference, fit_lda
from multidir.methods.probe_nested import HeldOut, nested
from multidir.methods.probe_pool import Pooling, fit_pool
from multidir.methods.probe_sparse import fit_sparse
from multidir.records.site import Site
from multidir.sae.dictionary import pieces
from multidir.sae.folder import site_of
from multidir.sae.foreign import load_dictionary
from multidir.store.activations import ActivationStore
from multidir.types import BoolArray, FloatArray, IntArray, Role

_ACTIVE = 10
"""Latents that are active in fewer sentences are not candidates of k-sparse probes."""


@dataclass(frozen=True, eq=False)
class Place:
    """Where the table is measured, and what of."""

    store: ActivationStore
    grid: Grid
    role: Role
    site: Site
    offset: int
    solver: Solver

    def x(self) -> FloatArray:
        """(n, d) activations."""
        return self.grid.rows.read(self.store, self.role, self.site, self.offset)


@dataclass(frozen=True, eq=False)
class Table:
    """Measures by probe, and the linear probes of all rows, which become directions."""

    table: pd.DataFrame
    normals: dict[str, FloatArray]
    """(d,) weights by kind."""


def probe_table(at: Place, settings: Probes, dictionary: Path | None, draws: int, seed: int) -> Table:
    """Measure everything at one place.

    Returns:
        One row per probe: role, site, offset, group (probe | text | control), kind, and the columns of `measured`; what
        does not apply is empty.
    """
    x, rows, folds = at.x(), at.grid.rows, at.grid.folds
    train = folds.training_sets()
    logistic = at.grid.cells[at.role, at.site, at.offset]
    found: list[Columns] = []

    def add(group: str, kind: str, held: HeldOut) -> None:
        found.append({"group": group, "kind": kind, **measured(held, rows, folds, draws, seed)})

    add("probe", "logistic (L2)", logistic.held)
    normals = {"logistic": logistic.weight}
    for kind, probes in _linear(x, rows.positive, train, settings, at.solver):
        held = nested(probes.scores(x)[0], rows.positive, folds)
        normals[kind] = probes.weight[0, -1, held.best]
        add("probe", _NAMES[kind], held)
    if dictionary is not None:
        kind, acts = latent_acts(dictionary, at, x)
        sparse = fit_sparse(acts, rows.positive, train, settings.ks, settings.sparse_penalty, at.solver)
        add("probe", kind, nested(sparse.scores, rows.positive, folds))
    for kind, pooled in _pooled(at, settings):
        add("probe", f"{kind} over the window", pooled)
    add("probe", "logistic, place chosen inside", at.grid.chosen_inside(at.role)[0])
    for name, features in surface_features(at.store, rows, at.offset).items():
        scores = fit_logistic(features[None], rows.positive, train, at.grid.penalties, at.solver).scores(features)[0]
        add("text", name, nested(scores, rows.positive, folds))
    found += list(_shuffled(at, x, logistic.held, settings.shuffles, draws, seed))
    found += list(leaks(at, x, logistic.held, settings, draws, seed))
    facts: Columns = {"role": at.role, "site": str(at.site), "offset": at.offset}
    return Table(pd.DataFrame([{**facts, **row} for row in found]), normals)


_NAMES = {"lasso": "logistic (L1)", "difference": "difference of means", "lda": "LDA"}


def _linear(
    x: FloatArray, y: BoolArray, train: BoolArray, settings: Probes, solver: Solver
) -> Iterator[tuple[str, LinearProbes]]:
    yield "lasso", fit_lasso(x, y, train, np.array(settings.lasso_penalties), replace(solver, tolerance=1e-4))
    yield "difference", fit_difference(x, y, train)
    yield "lda", fit_lda(x, y, train, np.array(settings.shrinkages))


def _pooled(at: Place, settings: Probes) -> Iterator[tuple[str, HeldOut]]:
    """Probes of the tokens up to the place of the others, by kind.

    The search begins at linear probes, and these are among the settings: where a window is no help, nested
    cross-validation may keep one.
    """
    rows, folds = at.grid.rows, at.grid.folds
    linear, middle = at.grid.cells[at.role, at.site, at.offset].others, len(at.grid.penalties) // 2
    alone, start = linear.scores(at.x())[0], (linear.weight[0, :, middle], linear.bias[0, :, middle])
    x = np.stack([rows.read(at.store, at.role, at.site, o) for o in _window(at, settings)], axis=1)
    train, solver = folds.training_sets(), at.solver
    for kind in get_args(Pooling):
        tries = [
            fit_pool(x, rows.positive, train, *start, ridge, kind, solver=solver) for ridge in settings.pool_ridges
        ]
        yield kind, nested(np.concatenate([alone, *tries], axis=2), rows.positive, folds)


def _window(at: Place, settings: Probes) -> range:
    first = at.offset - settings.pool + 1
    if first < at.grid.rows.offsets[0]:
        raise DesignError(
            f"a window of {settings.pool} tokens that ends at offset {at.offset} begins at {first}, and the sentences "
            f"have the tokens from {at.grid.rows.offsets[0]} on; take a smaller --pool or an earlier --offsets"
        )
    return range(first, at.offset + 1)


def latent_acts(source: Path, at: Place, x: FloatArray) -> tuple[str, FloatArray]:
    """What probes on a dictionary are called, and (n, f) float32 activations of its latents.

    Latents that are active in too few sentences are left out. A dictionary of other models' activations is named by
    them: what it finds in these is not what one of their own would.

    Raises:
        DesignError: the dictionary reads another width or site.
    """
    coder = load_dictionary(source, at.store.mean_norm(at.role, at.site))
    reads = site_of(coder.facts)
    if coder.d != at.store.d or (reads is not None and reads != at.site):
        raise DesignError(
            f"dictionary {source} reads width {coder.d} at {reads}, and the probes are at {at.site} of width "
            f"{at.store.d}"
        )
    with torch.inference_mode():
        parts = [coder.encode(torch.from_numpy(x[part])).numpy() for part in pieces(len(x), coder.width)]
    acts = np.concatenate(parts)
    roles = coder.facts.get("multidir", {}).get("roles", [at.role])
    whose = "" if at.role in roles else f" of {' and '.join(roles)}"
    return f"k-sparse over latents{whose}", acts[:, (acts > 0).sum(axis=0) >= _ACTIVE]


def _shuffled(at: Place, x: FloatArray, task: HeldOut, shuffles: int, draws: int, seed: int) -> Iterator[Columns]:
    """Labels shuffled within traces, and what of the task is left above them."""
    rows, folds = at.grid.rows, at.grid.folds
    rng = np.random.default_rng(seed)
    labels = [shuffled_within(rows.positive, rows.trace, rng) for _ in range(shuffles)]
    control = _shuffled_probes(x, labels, folds, at.grid.penalties, at.solver)
    yield _gap("labels shuffled within traces", control, [], rows.group, draws, seed)
    truth = [(task.score, rows.positive, folds.fold)]
    yield _gap("selectivity (difference)", truth, control, rows.group, draws, seed)


def leaks(at: Place, x: FloatArray, task: HeldOut, settings: Probes, draws: int, seed: int) -> Iterator[Columns]:
    """What folds that split prompts, and folds that split even the tokens of one sentence, pretend to know.

    The tokens are those of the window, each a row of its own with the label of its sentence: the way in which
    activations are often probed. Beside it stand the same rows with prompts whole.
    """
    rows, folds, rng = at.grid.rows, at.grid.folds, np.random.default_rng(seed)
    y, group = rows.positive, rows.group
    split = random_folds(y, folds.k, rng)
    leaky = _cross_validated(at, x, y, split)
    yield {"group": "control", "kind": "prompts split over folds", **measured(leaky, rows, split, draws, seed)}
    known = [(task.score, y, folds.fold)]
    yield _gap("leak (difference)", [(leaky.score, y, split.fold)], known, group, draws, seed)

    window = _window(at, settings)
    tokens = np.concatenate([rows.read(at.store, at.role, at.site, o) for o in window])
    y, group = np.tile(y, len(window)), np.tile(group, len(window))
    whole, split = replace(folds, fold=np.tile(folds.fold, len(window))), random_folds(y, folds.k, rng)
    known = [(_cross_validated(at, tokens, y, whole).score, y, whole.fold)]
    leaked = [(_cross_validated(at, tokens, y, split).score, y, split.fold)]
    yield _gap("tokens, prompts whole", known, [], group, draws, seed)
    yield _gap("tokens split over folds", leaked, [], group, draws, seed)
    yield _gap("leak by tokens (difference)", leaked, known, group, draws, seed)


def _gap(
    kind: str, first: Sequence[Scored], second: Sequence[Scored], group: IntArray, draws: int, seed: int
) -> Columns:
    return {"group": "control", "kind": kind, **interval("auroc", auroc_gap(first, second, group, draws, seed))}


def _cross_validated(at: Place, x: FloatArray, y: BoolArray, folds: Folds) -> HeldOut:
    probes = fit_logistic(x[None], y, folds.training_sets(), at.grid.penalties, at.solver)
    return nested(probes.scores(x)[0], y, folds)


def _shuffled_probes(
    x: FloatArray, labels: Sequence[BoolArray], folds: Folds, penalties: FloatArray, solver: Solver
) -> list[Scored]:
    """Held-out scores of probes that learned shuffled labels, with those labels."""
    train = folds.training_sets()
    targets = np.concatenate([np.repeat(y[:, None], folds.n_sets, axis=1) for y in labels], axis=1)
    probes = fit_logistic(x[None], targets, np.tile(train, (1, len(labels))), penalties, solver)
    scores = probes.scores(x)[0].reshape(len(x), len(labels), folds.n_sets, -1)
    return [(nested(scores[:, i], y, folds).score, y, folds.fold) for i, y in enumerate(labels)]


def shuffled_within(labels: BoolArray, trace: np.ndarray, rng: np.random.Generator) -> BoolArray:
    """Labels in random order within every trace: each keeps its number of positives."""
    order = np.lexsort((rng.random(len(labels)), trace))
    mixed = np.empty_like(labels)
    mixed[np.argsort(trace, kind="stable")] = labels[order]
    return mixed


def rule_row(scores: FloatArray, at: Place, draws: int, seed: int) -> pd.DataFrame:
    """What a known rule permits, as one row of the table: the AUROC of its probability as a score."""
    facts: Columns = {"role": at.role, "site": str(at.site), "offset": at.offset}
    said = ranked(scores, at.grid.rows, at.grid.folds.fold, draws, seed)
    return pd.DataFrame([{**facts, "group": "ceiling", "kind": "planted rule", **said}])
