"""Figures of candidates: what each does when it is added or taken out, and how far the ways of ranking agree."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from multidir.report import draw, words
from multidir.report.cells import checked, flags, unscored
from multidir.report.figures.forest import forest, height, squares
from multidir.report.plot import Plot, compose
from multidir.report.style import BASE, INK, MUTED, REASONING, Tone

_NAMES = {
    "t": "contrast t",
    "attribution": "gradient x activation",
    "integrated": "integrated gradients",
    "add": "added",
    "ablate": "taken out",
}
_SHOWN = 14


def candidate_effects(table: pd.DataFrame) -> Plot:
    """Measured effect of the strongest candidates, added and taken out, beside what controls reach.

    Args:
        table: one row per candidate with columns name, control (bool), place, add, add_low, add_high, ablate,
            ablate_low, ablate_high; those that were not measured have place 0.
    Raises:
        FormatError: columns are missing or hold something else.
    """
    what = "candidate_effects"
    ends = [f"{name}{end}" for name in ("add", "ablate") for end in ("", "_low", "_high")]
    data = flags(checked(table, what, ("name", "control"), ("place", *ends)), what, ["control"])
    data = data[data["control"] | (data["place"] > 0)]
    real = data[~data["control"]].sort_values("place").head(_SHOWN)
    null = data[data["control"]].sort_values("name")

    def paint(figure: Figure, narrow: bool) -> None:
        panels = draw.panels(figure, 1, 2, narrow)
        for axes, name, label in zip(panels, ("add", "ablate"), ("added", "taken out (fall)"), strict=True):
            if len(null):
                axes.axvspan(null[name].min(), null[name].max(), color=MUTED.light, alpha=0.18, linewidth=0)
            columns = {name: "value", f"{name}_low": "low", f"{name}_high": "high"}
            shown = real[list(columns)].rename(columns=columns)
            names = list(real["name"]) if narrow or axes is panels[0] else []
            forest(axes, shown, names, [_tone(value) for value in shown["value"]], narrow)
            axes.set_xlabel(f"log-odds of the words, {label}")
        draw.legend(figure, [draw.band_key(MUTED, "reach of random and shuffled directions")], 1)

    rows = height(len(real), False), height(len(real), True)
    return compose(
        paint,
        pd.concat([real, null]),
        name="candidate_effects",
        title="What candidates do",
        reading=_effects_reading(real, null),
        note=unscored(real, "add"),
        wide=(7.6, rows[0] + 0.4),
        narrow=(3.9, 2 * rows[1] + 0.4),
    )


def rank_agreement(table: pd.DataFrame) -> Plot:
    """Spearman's rho between the rankings of candidates.

    Args:
        table: columns first, second (t, attribution, integrated, add, ablate), rho, n.
    Raises:
        FormatError: columns are missing or hold something else.
    """
    data = checked(table, "rank_agreement", ("first", "second"), ("rho", "n"))
    data = data.sort_values(["first", "second"], ignore_index=True)
    names = [name for name in _NAMES if name in {*data["first"], *data["second"]}]
    values = np.eye(len(names))
    for first, second, rho in zip(data["first"], data["second"], data["rho"], strict=True):
        i, j = names.index(first), names.index(second)
        values[i, j] = values[j, i] = rho

    def paint(figure: Figure, narrow: bool) -> None:  # noqa: ARG001
        squares(figure.subplots(), [_NAMES[name] for name in names], values.tolist())

    known = data.dropna(subset=["rho"])
    cheap = known[known["first"].isin(["t", "attribution", "integrated"]) & (known["second"] == "ablate")]
    best = cheap.sort_values("rho", ascending=False).head(1)
    reading = "Too few candidates were measured to compare rankings."
    if len(best):
        row = best.iloc[0]
        reading = (
            f"Of the cheap rankings, {_NAMES[row['first']]} agrees best with what taking out does: Spearman's rho "
            f"{row['rho']:.2f} over {int(row['n'])} candidates."
        )
    return compose(
        paint,
        data,
        name="rank_agreement",
        title="Do cheap rankings agree with measured effects?",
        reading=reading,
        note=unscored(data, "rho"),
        wide=(5.2, 4.0),
        narrow=(3.7, 3.7),
    )


def _tone(value: float) -> Tone:
    return INK if value != value else REASONING if value > 0 else BASE


def _effects_reading(real: pd.DataFrame, null: pd.DataFrame) -> str:
    if real.empty:
        return "No candidate was measured."
    best = real.iloc[0]
    text = (
        f"The strongest of {len(real)} candidates shown, {best['name']}, adds "
        f"{words.estimate(best['add'], best['add_low'], best['add_high'])} log-odds; taken out, it costs "
        f"{words.estimate(best['ablate'], best['ablate_low'], best['ablate_high'])}"
    )
    return f"{text}; no control adds more than {null['add'].max():.2f}." if len(null) else f"{text}."
