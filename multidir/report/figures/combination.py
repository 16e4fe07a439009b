"""Figures of a factorial: interactions of all pairs, Moebius coefficients of all sets, and cells predicted unseen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from multidir.report import draw, words
from multidir.report.cells import checked, no_repeats, rows, unscored
from multidir.report.plot import Plot, compose
from multidir.report.style import CARD, GRID, INK, LESS, MUTED, PAIR, RANDOM

MODELS = {
    "adding": ("log-odds add", INK, "o"),
    "pairwise": ("log-odds and pairs", PAIR, "D"),
    "bliss": ("hazards add", LESS, "v"),
    "read_out": ("one read-out", MUTED, "s"),
}
"""Way of combining -> its name, colour and marker."""
MOST_TERMS = 31


def interaction_matrix(pairs: pd.DataFrame) -> Plot:
    """The interaction of every pair with its interval and verdict, as a triangle.

    Args:
        pairs: one row per pair with columns first, second, verdict, delta, delta_low, delta_high.
    Raises:
        FormatError: columns are missing or hold something else; a pair stands twice.
    """
    what = "interaction_matrix"
    data = checked(pairs, what, ("first", "second", "verdict"), ("delta", "delta_low", "delta_high"))
    no_repeats(data, what, ["first", "second"])
    data = data.sort_values(["first", "second"], ignore_index=True)
    names = list(dict.fromkeys([*data["first"], *data["second"]]))
    largest = max(0.5, np.nanmax(data["delta"].abs().to_numpy(), initial=0.0))

    def paint(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        for row in rows(data):
            i, j = sorted((names.index(row.first), names.index(row.second)))
            _matrix_cell(axes, i, j, row, largest, narrow, len(names))
        axes.set_xlim(-0.5, len(names) - 1.5)
        axes.set_ylim(len(names) - 0.5, 0.5)
        axes.set_xticks(range(len(names) - 1), names[:-1])
        axes.set_yticks(range(1, len(names)), names[1:])
        axes.tick_params(length=0)
        axes.grid(visible=False)
        for side in ("left", "bottom"):
            axes.spines[side].set_visible(False)

    height = 1.2 + 0.85 * (len(names) - 1)
    return compose(
        paint,
        data,
        name=what,
        title="What each pair adds on log-odds beyond its two parts",
        reading=_matrix_reading(data),
        note=unscored(data, "delta"),
        wide=(min(7.6, 1.6 + 1.7 * (len(names) - 1)), height),
        narrow=(3.7, height),
    )


def moebius_terms(moebius: pd.DataFrame) -> Plot:
    """What every set of directions adds beyond all its parts, and two averages made from the same fit.

    Args:
        moebius: one row per set with columns set, order, moebius, moebius_low, moebius_high, banzhaf, shapley.
    Raises:
        FormatError: columns are missing or hold something else; a set stands twice.
    """
    what = "moebius_terms"
    numbers = ("order", "moebius", "moebius_low", "moebius_high", "banzhaf", "shapley")
    data = checked(moebius, what, ("set",), numbers)
    no_repeats(data, what, ["set"])
    data = data.sort_values(["order", "set"], ignore_index=True)
    shown = data.head(MOST_TERMS)

    def paint(figure: Figure, narrow: bool) -> None:
        figure.set_layout_engine("constrained", w_pad=0.08)
        axes = figure.subplots()
        for height, row in enumerate(rows(shown)):
            _moebius_row(axes, height, row)
        axes.axvline(0, color=MUTED.light, linewidth=1.0, zorder=1)
        names = [name.replace(" + ", " +\n") if narrow else name for name in shown["set"]]
        axes.set_yticks(range(len(shown)), names, fontsize=6.0 if narrow else 8.0)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        for place in np.flatnonzero(np.diff(shown["order"])):
            axes.axhline(place + 0.5, color=GRID.light, linewidth=1.0)
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x")
        axes.set_xlabel("log-odds added beyond all its parts")
        hollow = {"hollow": True}
        keys = [draw.line_key(INK, "others off (Moebius)", "-")]
        if shown["banzhaf"].notna().any():
            keys += [draw.line_key(PAIR, "averaged over the others (Banzhaf)", "", "D", **hollow)]
            keys += [draw.line_key(LESS, "over orders of joining (Shapley)", "", "v", **hollow)]
        draw.legend(figure, keys, 1 if narrow else 3)

    return compose(
        paint,
        data,
        name=what,
        title="What each set adds beyond its parts",
        reading=_moebius_reading(data),
        note=unscored(data, "moebius"),
        wide=(7.4, 1.3 + 0.26 * len(shown)),
        narrow=(3.7, 1.6 + 0.34 * len(shown)),
    )


def held_out_cells(predictions: pd.DataFrame) -> Plot:
    """Cells with three directions and more, predicted from singles and pairs under each way of combining.

    Args:
        predictions: one row per cell and model with columns cell, order, model, observed, predicted, gap (observed
            minus predicted, in log-odds), gap_low, gap_high.
    Raises:
        FormatError: columns are missing or hold something else; a prediction stands twice.
    """
    what = "held_out_cells"
    numbers = ("order", "observed", "predicted", "gap", "gap_low", "gap_high")
    data = checked(predictions, what, ("cell", "model"), numbers, ("observed", "predicted"))
    no_repeats(data, what, ["cell", "model"])
    data = data.sort_values(["order", "cell", "model"], ignore_index=True)
    cells = list(dict.fromkeys(data["cell"]))
    models = [m for m in MODELS if (data["model"] == m).any()]

    def paint(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        for place, cell in enumerate(cells):
            for index, model in enumerate(models):
                height = place + 0.18 * (index - (len(models) - 1) / 2)
                _gap(axes, height, data[(data["cell"] == cell) & (data["model"] == model)], model)
        axes.axvline(0, color=MUTED.light, linewidth=1.0, zorder=1)
        labels = [cell.replace(" + ", " +\n") if narrow else cell for cell in cells]
        axes.set_yticks(range(len(cells)), labels, fontsize=6.5 if narrow else 8.0)
        axes.set_ylim(len(cells) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x")
        axes.set_xlabel("observed minus predicted, log-odds" + (" (0: predicted right)" if not narrow else ""))
        keys = [draw.line_key(MODELS[m][1], MODELS[m][0], "-", MODELS[m][2]) for m in models]
        draw.legend(figure, keys, 2 if narrow else 4)

    return compose(
        paint,
        data,
        name=what,
        title="Which way of combining predicts cells it has not seen?",
        reading=_gap_reading(data, models),
        note=unscored(data, "gap"),
        wide=(7.2, 1.3 + 0.5 * len(cells)),
        narrow=(3.7, 1.6 + 0.55 * len(cells)),
    )


def _matrix_cell(axes: Axes, i: int, j: int, row: Any, largest: float, narrow: bool, k: int) -> None:
    delta, low, high = row.delta, row.delta_low, row.delta_high
    tone = RANDOM if words.is_unknown(delta) else PAIR if delta > 0 else LESS
    weight = 0.0 if words.is_unknown(delta) else 0.06 + 0.5 * min(abs(delta) / largest, 1.0)
    axes.add_patch(Rectangle((i - 0.48, j - 0.46), 0.96, 0.92, facecolor=tone.light, alpha=weight, linewidth=0))
    small = 6.0 if narrow or k > 5 else 7.5
    value = "unknown" if words.is_unknown(delta) else f"{round(delta, 2) + 0.0:+.2f}"
    interval = words.NOT_ESTIMABLE if words.is_unknown(low) else f"[{low:.2f}, {high:.2f}]"
    draw.write(axes, value, (i, j), INK, (0, 8), "center bottom", 9.0 if narrow else 12.0, "bold", halo=False)
    draw.write(axes, interval, (i, j), MUTED, (0, 4), "center center", small, halo=False)
    name = str(row.verdict).replace(" ", "\n") if narrow else str(row.verdict)
    draw.write(axes, name, (i, j), INK, (0, -4), "center top", small, "bold", halo=False)


def _moebius_row(axes: Axes, height: int, row: Any) -> None:
    low, high = row.moebius_low, row.moebius_high
    sure = not words.is_unknown(low) and (low > 0 or high < 0)
    tone = INK if sure else RANDOM
    axes.plot([low, high], [height, height], color=tone.light, linewidth=2.4, alpha=0.5, label="_interval")
    axes.plot([row.moebius], [height], "o", color=tone.light, markersize=5.5, label=row.set)
    for value, mark, other in ((row.banzhaf, "D", PAIR), (row.shapley, "v", LESS)):
        axes.plot(
            [value], [height], mark, color=other.light, markerfacecolor=CARD.light, markersize=4.5, label="_other"
        )


def _gap(axes: Axes, height: float, points: pd.DataFrame, model: str) -> None:
    _, tone, marker = MODELS[model]
    for row in rows(points):
        axes.plot([row.gap_low, row.gap_high], [height] * 2, color=tone.light, linewidth=2, alpha=0.5, label="_gap")
        axes.plot([row.gap], [height], marker, color=tone.light, markersize=5, label=model)


def _matrix_reading(data: pd.DataFrame) -> str:
    known = data.dropna(subset=["delta"])
    if known.empty:
        return "No interaction could be estimated."
    strongest = known.iloc[int(known["delta"].abs().to_numpy().argmax())]
    value = words.estimate(strongest["delta"], strongest["delta_low"], strongest["delta_high"])
    pair = f"{strongest['first']} + {strongest['second']}"
    return f"The largest interaction is {value} log-odds, of {pair} ({strongest['verdict']}); 0 is plain adding."


def _moebius_reading(data: pd.DataFrame) -> str:
    beyond = data[(data["order"] > 1) & ((data["moebius_low"] > 0) | (data["moebius_high"] < 0))]
    if beyond.empty:
        return "No pair and no larger set clearly adds anything beyond its parts."
    parts = [f"{r.set} ({words.estimate(r.moebius, r.moebius_low, r.moebius_high)})" for r in rows(beyond)]
    return f"Beyond its parts clearly adds or takes away: {words.joined(parts)}."


def _gap_reading(data: pd.DataFrame, models: list[str]) -> str:
    total = data["cell"].nunique()
    parts = []
    for model in models:
        some = data[data["model"] == model]
        held = int(((some["gap_low"] <= 0) & (some["gap_high"] >= 0)).sum())
        parts.append(f"{MODELS[model][0]} {held}")
    return f"Of {total} unseen cells, the interval holds the prediction in: {', '.join(parts)}."
