"""The points of dose curves: cells of a steering sweep, pooled and completed so that they can be drawn."""

from __future__ import annotations

from typing import Any, Literal

import pandas as pd

from multidir.report.cells import checked, highest, known_values, no_repeats, one_unit
from multidir.report.style import NULLS, ROLE_NAMES

Measure = Literal["backtrack", "keyword"]

MEASURES: dict[str, tuple[str, str, str, str, str]] = {
    "backtrack": ("backtrack_share", "low", "high", "backtracking, share of sentences", "backtracking"),
    "keyword": ("keyword_share", "keyword_low", "keyword_high", "keywords, share of words", "the keyword share"),
}
"""For each measure: columns of value, low and high, the axis label, and its name in a sentence."""

TARGETS = ("reasoning", "base")


def dose_points(cells: pd.DataFrame, what: str, measure: Measure, coherent_at_least: float | None) -> pd.DataFrame:
    """The points of dose curves: one row per target, series and dose.

    Derived directions are one series each; random directions, and others that mean nothing, become one series of each
    kind with their median as value and their smallest and largest value as low and high. The unsteered cell (role none)
    stands at dose 0 of every series that has no dose 0 of its own.

    Args:
        cells: see `dose_curves`.
        what: figure name for messages.
        measure: which share.
        coherent_at_least: share of coherent generations from which a cell counts as coherent.
    Returns:
        Columns target, direction_role, direction, dose, value, low, high, coherent_share, coherent, n_prompts,
        n_directions.
    Raises:
        FormatError: columns are missing or hold something else; a cell stands twice.
    """
    value, low, high, _, _ = MEASURES[measure]
    keys = ("target", "direction_role", "direction", "dose_unit")
    numbers = ("dose", value, low, high, "coherent_share", "n_prompts")
    table = checked(cells, what, keys, numbers, (value, low, high, "coherent_share"))
    known_values(table, what, "target", TARGETS)
    known_values(table, what, "direction_role", ROLE_NAMES)
    table = table.rename(columns={value: "value", low: "low", high: "high"})
    one_unit(table, what)
    no_repeats(table, what, ["target", "direction", "dose"])
    unsteered = table[table["direction_role"] == "none"].assign(dose=0.0)
    random = table["direction_role"].isin(NULLS)
    named = table[~random & (table["direction_role"] != "none")].assign(n_directions=1)
    points = pd.concat([named, _spread(table[random])], ignore_index=True)
    points = pd.concat([unsteered.assign(n_directions=0), _with_origin(points, unsteered)], ignore_index=True)
    points["coherent"] = passing(points["coherent_share"], coherent_at_least)
    columns = ["target", "direction_role", "direction", "dose", "value", "low", "high"]
    columns += ["coherent_share", "coherent", "n_prompts", "n_directions"]
    return points[columns].sort_values(["target", "direction_role", "direction", "dose"], ignore_index=True)


def passing(coherent_share: pd.Series, at_least: float | None) -> pd.Series:
    """Which cells count as coherent: unknown ones do not, unless nobody asks (None)."""
    if at_least is None:
        return pd.Series(data=True, index=coherent_share.index)
    return coherent_share >= at_least


def without_coherence(at_least: float | None) -> str:
    """The sentence that says that nobody asked; empty otherwise."""
    return "Whether the texts are coherent was not reported." if at_least is None else ""


def best(points: pd.DataFrame) -> Any:
    """The coherent scored point with the highest value, dose 0 left out; None when there is none."""
    return highest(points[points["coherent"] & (points["dose"] > 0)], "value")


def _spread(random: pd.DataFrame) -> pd.DataFrame:
    """Directions that mean nothing pooled by kind and dose: median, smallest, largest."""
    if random.empty:
        return random.assign(n_directions=0)
    grouped = random.groupby(["target", "direction_role", "dose"], as_index=False)
    return grouped.agg(
        value=("value", "median"),
        low=("value", "min"),
        high=("value", "max"),
        coherent_share=("coherent_share", "median"),
        n_prompts=("n_prompts", "median"),
        n_directions=("direction", "nunique"),
    ).assign(direction=lambda pooled: pooled["direction_role"] + " median")


def _with_origin(points: pd.DataFrame, unsteered: pd.DataFrame) -> pd.DataFrame:
    """Start every series at the unsteered cell of its target, except a null that was measured at one dose only."""
    key = ["target", "direction_role", "direction"]
    first = points.groupby(key, as_index=False).agg(
        dose=("dose", "min"), doses=("dose", "nunique"), n_directions=("n_directions", "max")
    )
    unsteered = unsteered.drop(columns=["direction_role", "direction", "dose"])
    origin = (
        first[(first["dose"] > 0) & (~first["direction_role"].isin(NULLS) | (first["doses"] > 1))]
        .drop(columns="doses")
        .assign(dose=0.0)
        .merge(unsteered, on="target")
    )
    return pd.concat([points, origin], ignore_index=True)
