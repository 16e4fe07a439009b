"""Figure of a layer sweep: how well the direction of each block steers, by the model it is from."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from multidir.report import draw, words
from multidir.report.cells import checked, highest, known_values, unscored
from multidir.report.figures.dose_points import MEASURES, Measure, passing
from multidir.report.plot import Plot, compose
from multidir.report.style import MUTED, ROLE_NAMES, ROLE_TONES

_ROLES = ("base", "reasoning")


def layer_curves(cells: pd.DataFrame, measure: Measure = "backtrack", coherent_at_least: float = 0.8) -> Plot:
    """How much backtracking the direction of each block causes in the reasoning model, at its best coherent dose.

    A block without a coherent dose shows its smallest dose, hollow.

    Args:
        cells: one row per cell with columns direction_role (base | reasoning | none), layer, dose, coherent_share and
            those of the measure; see `dose_curves`.
        measure: `backtrack` (labelled sentences) or `keyword` (words).
        coherent_at_least: share of coherent generations from which a cell counts as coherent.
    Raises:
        FormatError: columns are missing or hold something else.
    """
    value, low, high, label, noun = MEASURES[measure]
    numbers = ("layer", "dose", value, low, high, "coherent_share")
    table = checked(cells, "layer_curves", ("direction_role",), numbers, (value, low, high, "coherent_share"))
    known_values(table, "layer_curves", "direction_role", (*_ROLES, "none"))
    table = table.rename(columns={value: "value", low: "low", high: "high"})
    table["coherent"] = passing(table["coherent_share"], coherent_at_least)
    none = table[table["direction_role"] == "none"]
    steered = table[table["direction_role"] != "none"].sort_values(["direction_role", "layer", "dose"])
    shown = steered.groupby(["direction_role", "layer"], group_keys=False)[list(steered.columns)].apply(_at_best)

    def paint(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        for role, points in shown.groupby("direction_role"):
            draw.curve(axes, points, "layer", ROLE_TONES[str(role)], str(role))
        if len(none):
            draw.level(axes, float(none["value"].iloc[0]))
        draw.from_zero([axes], float(shown[["value", "high"]].max().max()))
        draw.percent_axis(axes, noun if narrow else label)
        axes.set_xlabel("block")
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        there = set(shown["direction_role"])
        keys = [draw.line_key(ROLE_TONES[role], ROLE_NAMES[role]) for role in _ROLES if role in there]
        if not shown["coherent"].all():
            keys.append(draw.line_key(MUTED, "hollow: incoherent", "", "o", hollow=True))
        draw.legend(figure, [*keys, draw.level_key("unsteered")], 2 if narrow else 4)

    return compose(
        paint,
        pd.concat([none, shown], ignore_index=True),
        name="layer_curves",
        title="Which block steers best",
        reading=_reading(shown, noun),
        note=unscored(shown),
        wide=(6.2, 3.3),
    )


def _at_best(doses: pd.DataFrame) -> pd.DataFrame:
    known = doses[doses["coherent"] & doses["value"].notna()]
    return doses.iloc[:1] if known.empty else known.nlargest(1, "value")


def _reading(shown: pd.DataFrame, noun: str) -> str:
    parts = []
    for role in _ROLES:
        some = shown[(shown["direction_role"] == role) & shown["coherent"]]
        top = highest(some, "value")
        if top is not None:
            estimate = words.percent_estimate(top["value"], top["low"], top["high"])
            parts.append(f"the {ROLE_NAMES[role]} directions steer best at block {top['layer']:g}, {noun} {estimate}")
    return f"{words.capital('; '.join(parts))}." if parts else "No direction left coherent text at any dose."
