"""Figures of controls: random directions of equal norm, and the rule planted in the tiny pair."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from multidir.report import draw, words
from multidir.report.cells import checked, flags, known_values, no_repeats, rows, unscored
from multidir.report.plot import Plot, compose
from multidir.report.style import INK, MUTED, RANDOM, ROLE_NAMES, ROLE_TONES


def random_spread(folds: pd.DataFrame) -> Plot:
    """Fold change of backtracking by derived directions beside random directions of the same norm.

    Args:
        folds: one row per direction with columns direction_role (base | reasoning | random | noise), direction,
            dose, dose_unit, fold (backtracking over unsteered), low, high.
    Raises:
        FormatError: columns are missing or hold something else.
    """
    what = "random_spread"
    data = checked(folds, what, ("direction_role", "direction", "dose_unit"), ("dose", "fold", "low", "high"))
    known_values(data, what, "direction_role", [role for role in ROLE_NAMES if role != "none"])
    shown = [
        role
        for role in ("reasoning", "base", "label", "mean", "self", "noise", "random")
        if (data["direction_role"] == role).any()
    ]
    shown.reverse()

    def paint(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        for height, role in enumerate(shown):
            _fold_row(axes, height, role, data[data["direction_role"] == role])
        axes.axvline(1, color=MUTED.light, linewidth=1.0, linestyle=(0, (1, 1.6)))
        names = [_fold_name(role, data) for role in shown]
        axes.set_yticks(range(len(shown)), ["\n".join(n.rsplit(" ", 1)) if narrow else n for n in names], fontsize=9)
        axes.set_ylim(-0.6, len(shown) - 0.4)
        axes.set_xlim(0, 1.08 * max([1.0, *data[["fold", "high"]].stack().dropna()]))
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x")
        axes.set_xlabel("times unsteered (dotted)" if narrow else "backtracking, times the unsteered level (dotted)")

    return compose(
        paint,
        data,
        name="random_spread",
        title="Is it the direction, or any push of this size?",
        reading=_fold_reading(data),
        note=unscored(data, "fold"),
        wide=(7.0, 2.5),
        narrow=(3.7, 2.9),
    )


def rates_by_cause(table: pd.DataFrame) -> Plot:
    """Measured backtracking by hesitation and mistake, beside the rule that was planted (tiny pair only).

    Args:
        table: four rows with columns hesitation (bool), mistake (bool), rate, low, high, planted.
    Raises:
        FormatError: columns are missing or hold something else; a combination stands twice.
    """
    what = "rates_by_cause"
    causes, numbers = ("hesitation", "mistake"), ("rate", "low", "high", "planted")
    data = flags(checked(table, what, causes, numbers, numbers), what, causes)
    no_repeats(data, what, ["hesitation", "mistake"])
    data = data.sort_values(["hesitation", "mistake"], ignore_index=True)

    def paint(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        axes.bar(range(len(data)), data["planted"], width=0.6, color=RANDOM.light, alpha=0.3, label="planted")
        for place, (_, row) in enumerate(data.iterrows()):
            draw.interval(axes, place, row.rename({"rate": "value"}), INK)
            above = max(v for v in (row["rate"], row["high"], row["planted"], 0.0) if not words.is_unknown(v))
            draw.value_label(axes, place, above, words.percent(row["rate"]), INK)
        axes.set_xticks(range(len(data)), [_cause(r.hesitation, r.mistake, narrow) for r in rows(data)])
        draw.from_zero([axes], data[["rate", "high", "planted"]].max().max())
        draw.percent_axis(axes, "next sentence backtracks")
        keys = [draw.line_key(INK, "measured", ""), draw.band_key(RANDOM, "planted rule")]
        draw.legend(figure, keys, 2)

    return compose(
        paint,
        data,
        name="rates_by_cause",
        title="Backtracking by its planted causes",
        reading=_cause_reading(data),
        note=unscored(data, "rate"),
        wide=(6.2, 3.1),
        narrow=(3.7, 3.3),
    )


def _fold_row(axes: Axes, height: int, role: str, folds: pd.DataFrame) -> None:
    tone, ordered = ROLE_TONES[role], folds.sort_values("fold")
    if role == "random":
        # a fixed pattern around the row instead of random jitter: the figure must not change between runs
        heights = [height + 0.11 * (index % 5 - 2) for index in range(len(ordered))]
        axes.plot(ordered["fold"], heights, "o", color=tone.light, markersize=4.5, alpha=0.75, label=role)
        middle = ordered["fold"].median()
        axes.plot([middle, middle], [height - 0.38, height + 0.38], color=tone.light, linewidth=2.4, label="_median")
        text = f"median {words.fold(middle)}, largest {words.fold(ordered['fold'].max())}"
        draw.write(axes, text, (ordered["fold"].max(), height), MUTED, (9, 0), "left center", 8.5)
        return
    for index, (_, row) in enumerate(ordered.iterrows()):
        y = height + 0.2 * (index - (len(ordered) - 1) / 2)
        axes.plot([row["low"], row["high"]], [y, y], color=tone.light, linewidth=2.4, alpha=0.45, label="_interval")
        axes.plot([row["fold"]], [y], tone.marker, color=tone.light, markersize=8, label=role)
        draw.value_label(axes, row["fold"], y, words.fold(row["fold"]), tone)


def _fold_name(role: str, data: pd.DataFrame) -> str:
    count = int((data["direction_role"] == role).sum())
    return f"{count} random directions" if role == "random" else f"{ROLE_NAMES[role]} direction"


def _fold_reading(data: pd.DataFrame) -> str:
    derived = data[data["direction_role"].isin(["base", "reasoning"])]
    parts = [
        f"{words.fold(row.fold, row.low, row.high)} by the {ROLE_NAMES[row.direction_role]} direction"
        for row in rows(derived)
    ]
    random = data.loc[data["direction_role"] == "random", "fold"].dropna()
    if len(random):
        parts.append(
            f"{words.fold(random.median())} by the median and {words.fold(random.max())} by the strongest of "
            f"{len(random)} random directions of equal norm"
        )
    return f"Backtracking changes {', '.join(parts)}." if parts else "No direction could be scored."


def _cause(hesitation: bool, mistake: bool, narrow: bool) -> str:
    both, one = "hesitation\nand mistake", "hesitation\nonly" if hesitation else "mistake\nonly"
    text = both if hesitation and mistake else one if hesitation or mistake else "neither"
    return text.replace("hesitation", "hesi-\ntation") if narrow else text


def _cause_reading(data: pd.DataFrame) -> str:
    parts = [
        f"{words.percent_estimate(row.rate, row.low, row.high)} "
        f"{_cause(row.hesitation, row.mistake, False).replace(chr(10), ' ')} (planted {words.percent(row.planted)})"
        for row in rows(data)
    ]
    return f"Share of sentences followed by backtracking: {words.joined(parts)}."
