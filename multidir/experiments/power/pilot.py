"""What a pilot says about how much prompts, directions and rollouts vary: the world that power is simulated in."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from multidir.errors import DesignError
from multidir.experiments.combination.counting import count, whole_rollouts
from multidir.experiments.combination.interaction import fit_factorial
from multidir.experiments.combination.layout import read_layout
from multidir.experiments.combination.outcomes_table import PREFIX, check_outcomes, direction_names
from multidir.experiments.power.simulate import Spread
from multidir.stats.components import between_prompts, intraclass
from multidir.stats.factorial import model_matrix, terms

ASSUMED = Spread()
"""Stands in where a pilot cannot tell, and is named where it does."""


@dataclass(frozen=True)
class Pilot:
    """Variance components and effects of a pilot."""

    spread: Spread
    effects: tuple[float, ...]
    """Log-odds of each direction alone at its own dose."""
    n_prompts: int
    assumed: dict[str, str]
    """Parts of `spread` that the pilot cannot tell -> why."""

    def table(self) -> pd.DataFrame:
        """component, value, and whether it was assumed."""
        names = [item.name for item in fields(self.spread)]
        values = [getattr(self.spread, name) for name in names]
        return pd.DataFrame({"component": names, "value": values, "assumed": [n in self.assumed for n in names]})


def read_pilot(frame: pd.DataFrame, split: str) -> Pilot:
    """Estimate variance components from a pilot's outcomes.

    Args:
        frame: An outcomes table, as `outcomes_table` describes it.
        split: Rows to read, where the table has splits.
    Raises:
        FormatError: the table is not as described.
        DesignError: no two directions are combined in it, or fewer than two prompts backtrack.
    """
    table = whole_rollouts(check_outcomes(frame, split))
    counted = count(table)
    tally = counted.tallies[counted.target]
    layout = read_layout(tally)
    fit = fit_factorial(tally, layout, 0.0).averaged
    if fit.n_used < 2 or np.isnan(fit.beta).all():
        raise DesignError(
            f"{fit.n_used} of the pilot's {len(tally.prompts)} prompts inform the fit; it tells no variance"
        )
    sound = table["sentences"].gt(0) & table["loop"].ne(1) & table["coherent"].ne(0)
    rows = table[sound & table["model"].eq(counted.target) & table["control"].eq("")]
    assumed: dict[str, str] = {}
    rho = _overdispersion(rows, assumed)
    n = rows["sentences"].to_numpy(np.float64)
    inflation = 1 + rho * float((n**2).sum() / n.sum() - 1)
    k, cells = len(tally.directions), layout.factorial
    x = model_matrix(layout.on, terms(k, 2))
    between = between_prompts(tally.y[:, cells], tally.n[:, cells], x, fit, inflation)
    mean, variance = float(n.mean()), float(n.var(ddof=1))
    spread = Spread(
        base=float(np.mean(fit.alpha[np.isfinite(fit.alpha)])),
        prompt=between.intercept,
        slope=_known_mean("slope", between.slopes[:k], assumed),
        interaction=_known_mean("interaction", between.slopes[k:], assumed),
        overdispersion=rho,
        sentences=max(mean, 1.5),
        length=max(mean - 1, 0.5) ** 2 / max(variance - (mean - 1), 0.01 * mean),
        loops=0.0 if tally.loops is None else float(tally.loops.sum() / tally.rollouts.sum()),
    )
    return Pilot(spread, tuple(np.nan_to_num(fit.beta[:k]).tolist()), len(tally.prompts), assumed)


def _overdispersion(rows: pd.DataFrame, assumed: dict[str, str]) -> float:
    doses = [PREFIX + name for name in direction_names(rows)]
    group = rows.groupby(["prompt", *doses]).ngroup().to_numpy()
    y, n = rows["backtracks"].to_numpy(np.float64), rows["sentences"].to_numpy(np.float64)
    rho = intraclass(y, n, group)
    if math.isnan(rho):
        assumed["overdispersion"] = "no prompt has two rollouts in one cell"
        return ASSUMED.overdispersion
    return max(rho, 1e-4)


def _known_mean(name: str, values: Iterable[float], assumed: dict[str, str]) -> float:
    known = [float(v) for v in values if not math.isnan(v)]
    if not known:
        assumed[name] = "no prompt was run in enough cells"
        return float(getattr(ASSUMED, name))
    return float(np.mean(known))
