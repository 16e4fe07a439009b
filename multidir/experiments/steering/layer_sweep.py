"""The layer sweep: the direction of every block, found in either model, into the reasoning model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

from multidir.errors import DesignError
from multidir.experiments.cells import by_condition, cells_table
from multidir.experiments.choose import best_outcomes, derived, with_direction_facts
from multidir.experiments.results import Results
from multidir.experiments.steering.baseline_rules import steers_at_depth
from multidir.experiments.steering.bench import Arm, Bench, conditions, run_conditions
from multidir.experiments.steering.setup import DoseScience
from multidir.methods.window_rules import Offsets
from multidir.records.direction import DirectionSet
from multidir.records.site import Site


class LayerScience(DoseScience, Protocol):
    """The settings of analysis/layers."""

    @property
    def depths(self) -> tuple[float, float]: ...  # noqa: D102


def layer_sweep(
    bench: Bench, directions: DirectionSet, window: Offsets, n_layers: int, science: LayerScience, file: Path
) -> Results:
    """Steer the reasoning model at every block that there is a direction of.

    Args:
        bench: the reasoning model.
        directions: of several sites; those of one window are taken.
        window: which.
        n_layers: blocks of the model.
        science: settings.
        file: outcomes.
    Raises:
        DesignError: no direction has this window.
    """
    known = {item.source.get("role") for item in directions}
    chosen = [
        item
        for role in ("base", "reasoning")
        if role in known
        for item in derived(directions, role)
        if item.source.get("offsets") == list(window)
    ]
    if not chosen:
        raise DesignError(
            f"no direction has the window {window[0]}:{window[1]}; there are {', '.join(directions.names)}"
        )
    outcomes = run_conditions(bench, conditions(bench.lm.role, [Arm(item, science.doses) for item in chosen]), file)
    counted = cells_table(outcomes, science.seed, science.draws, science.scoring.count_prompt)
    table = with_direction_facts(counted, chosen)
    table["layer"] = [_layer(site) for site in table["site"]]
    table["depth"] = (table["layer"] + 1) / n_layers
    cells = by_condition(outcomes)
    inside = table["depth"].between(*science.depths)
    parts = (table[some & table["depth"].notna()] for some in (inside, ~inside))
    within, outside = (best_outcomes(cells, part, science.scoring.min_coherent) for part in parts)
    verdict = steers_at_depth(within, outside, science.depths, science.seed, science.draws)
    return Results({"cells": table}, verdict.because, [verdict])


def _layer(site: Any) -> float:
    return float(Site.parse(site).layer) if isinstance(site, str) else float("nan")
