"""Where along a trace does the projection on a direction rise? Every token, on a direction that has not seen its trace.

    z = ((x - centre) . u - mean) / sd        over all tokens of the store but the first of each trace

The direction is cross-fitted by trace, so that nothing here separates its own data. Tokens in the window before a
sentence with the label are compared with all tokens, with those in the same window before other sentences, and with the
keywords themselves. Source: arXiv 2507.12638, section 4.2 and Fig. 6, which report no number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from multidir.errors import DesignError
from multidir.experiments.directions.find import choose_annotator
from multidir.experiments.settings import Means
from multidir.methods.crossfit import crossfit
from multidir.methods.diffmeans import TraceSums
from multidir.methods.window_rules import Offsets, windows_of
from multidir.records.site import Site
from multidir.store.activations import ActivationStore
from multidir.types import BoolArray, FloatArray, Role


@dataclass(frozen=True, eq=False)
class Projected:
    """All tokens of a store on the cross-fitted direction of one model."""

    role: Role
    z: FloatArray
    """(n,) float64, in standard deviations over all tokens."""
    before: BoolArray
    """(n,) in a window before a sentence with the label."""
    elsewhere: BoolArray
    """(n,) in a window before another sentence, and in none before one with the label."""


def project_tokens(
    store: ActivationStore, role: Role, site: Site, window: Offsets, label: str, means: Means, folds: int, seed: int
) -> Projected:
    """Project every token on the direction of the folds that its trace is not in.

    Raises:
        DesignError: fewer traces than folds, or a fold that leaves no sentence with the label.
    """
    annotator = choose_annotator(store)
    sums = TraceSums.read(store, role, site, annotator, window, means.skip)
    fitted = crossfit(sums, label, folds, np.random.default_rng(seed), means.mean, means.reference)
    raw = np.empty(store.n_rows)
    for place, info in enumerate(store.traces):
        rows = slice(info.row_start, info.row_end)
        x = store.rows(role, site, rows)
        raw[rows] = fitted.project(x, np.full(len(x), place))
    counted = store.position > 0
    spread = float(raw[counted].std())
    if spread == 0:
        raise DesignError(f"every token of {store.path} projects alike on the {role} direction at {site}")
    before, elsewhere = _window_masks(store, annotator, window, label, means)
    return Projected(role, (raw - raw[counted].mean()) / spread, before, elsewhere)


def _window_masks(
    store: ActivationStore, annotator: str, window: Offsets, label: str, means: Means
) -> tuple[BoolArray, BoolArray]:
    before, elsewhere = np.zeros(store.n_rows, dtype=bool), np.zeros(store.n_rows, dtype=bool)
    for windows in windows_of(store, annotator, window, means.skip):
        mine = windows.label == windows.labels.index(label)
        rows = windows.rows()
        before[rows[mine].ravel()] = True
        elsewhere[rows[~mine].ravel()] = True
    return before, elsewhere & ~before
