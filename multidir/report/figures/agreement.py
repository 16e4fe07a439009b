"""Figures of two annotators: what one calls what the other calls something else, and how well each label agrees."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter

from multidir.report import draw, words
from multidir.report.cells import checked, no_repeats, rows, unscored
from multidir.report.plot import Plot, compose
from multidir.report.style import INK, MUTED, RANDOM, Tone

_SCORES: tuple[tuple[str, str, Tone, str], ...] = (
    ("precision", "precision", MUTED, "o"),
    ("recall", "recall", MUTED, "s"),
    ("f1", "F1", INK, "D"),
)
"""Column, name, colour, marker."""


def confusion_matrix(table: pd.DataFrame) -> Plot:
    """How often the reference says the row and the other annotator says the column.

    Args:
        table: one row per pair of labels with columns reference, other, count.
    Raises:
        FormatError: columns are missing or hold something else; a pair stands twice.
    """
    what = "confusion_matrix"
    data = checked(table, what, ("reference", "other"), ("count",))
    no_repeats(data, what, ["reference", "other"])
    totals = data.groupby("reference")["count"].sum()
    data = data.assign(share=data["count"] / data["reference"].map(totals))
    order = sorted(totals.index, key=lambda label: (-totals[label], label))
    order += sorted(set(data["other"]) - set(order))
    place = {label: i for i, label in enumerate(order)}
    data = data.sort_values(["reference", "other"], key=lambda column: column.map(place), ignore_index=True)

    def paint(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        for other, reference, count, share in data[["other", "reference", "count", "share"]].itertuples(index=False):
            if count > 0:
                _cell(axes, place[other], place[reference], f"{count:.0f}", share, narrow)
        ticks = range(len(order))
        axes.set_xticks(ticks, [_broken(label) for label in order], rotation=90 if narrow else 0, fontsize=7.5)
        axes.set_yticks(ticks, [f"{_broken(label)}\n({int(totals.get(label, 0))})" for label in order], fontsize=7.5)
        axes.set_xlim(-0.5, len(order) - 0.5)
        axes.set_ylim(len(order) - 0.5, -0.5)
        axes.grid(visible=False)
        axes.tick_params(length=0)
        axes.set_xlabel("what the other annotator says")
        axes.set_ylabel("what the reference says (sentences)")

    size = 0.62 * len(order) + 1.0
    return compose(
        paint,
        data,
        name="confusion_matrix",
        title="Where two annotators part",
        reading=_confusion_reading(data),
        note=unscored(data, "count"),
        wide=(min(7.6, 0.95 * len(order) + 1.9), size),
        narrow=(3.7, 0.42 * len(order) + 1.6),
    )


def agreement_scores(table: pd.DataFrame) -> Plot:
    """Precision, recall and F1 of every label, with intervals.

    Args:
        table: one row per label with columns label, n_reference and, for each of precision, recall and f1, the value
            and its `_low` and `_high`, in 0..1.
    Raises:
        FormatError: columns are missing or hold something else; a label stands twice.
    """
    what = "agreement_scores"
    shares = [f"{name}{end}" for name, *_ in _SCORES for end in ("", "_low", "_high")]
    data = checked(table, what, ("label",), ("n_reference", *shares), shares)
    no_repeats(data, what, ["label"])
    data = data.sort_values(["n_reference", "label"], ascending=[False, True], ignore_index=True)

    def paint(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        for height, row in enumerate(rows(data)):
            for shift, (name, _, tone, marker) in zip((-0.24, 0.0, 0.24), _SCORES, strict=True):
                value, low, high = (getattr(row, f"{name}{end}") for end in ("", "_low", "_high"))
                y = height + shift
                axes.plot([low, high], [y, y], color=tone.light, linewidth=2.4, alpha=0.45, label="_interval")
                axes.plot([value], [y], marker, color=tone.light, markersize=5, label=f"{row.label} {name}")
        axes.set_yticks(range(len(data)), [_broken(r.label) if narrow else r.label for r in rows(data)], fontsize=8.5)
        axes.set_ylim(len(data) - 0.5, -0.5)
        axes.set_xlim(0, 1.02)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.0f}%"))
        axes.grid(visible=False, axis="y")
        axes.grid(visible=True, axis="x")
        draw.legend(figure, [draw.line_key(tone, name, "", marker) for _, name, tone, marker in _SCORES], 3)

    return compose(
        paint,
        data,
        name="agreement_scores",
        title="How well the labels agree",
        reading=_scores_reading(data),
        note=unscored(data, "f1"),
        wide=(6.2, 0.45 * len(data) + 1.0),
        narrow=(3.7, 0.5 * len(data) + 1.0),
    )


def _cell(axes: Axes, x: int, y: int, count: str, share: float, narrow: bool) -> None:
    """A field as dark as its share of the row, with the count in it."""
    corner, alpha = (x - 0.48, y - 0.46), 0.08 + 0.6 * share
    axes.add_patch(Rectangle(corner, 0.96, 0.92, facecolor=RANDOM.light, alpha=alpha, linewidth=0))
    text = count if narrow else f"{count}\n{words.percent(share)}"
    axes.text(x, y, text, ha="center", va="center", color=INK.light, fontsize=6.5 if narrow else 7.5)


def _broken(label: str) -> str:
    """A label over two lines at its hyphen."""
    return label.replace("-", "-\n", 1)


def _confusion_reading(data: pd.DataFrame) -> str:
    same, total = data.loc[data["reference"] == data["other"], "count"].sum(), data["count"].sum()
    if not total:
        return "No sentence has both labels."
    apart = data[(data["reference"] != data["other"]) & (data["count"] > 0)]
    if apart.empty:
        return f"Both annotators give all {int(same)} sentences the same label."
    most = apart.sort_values("count", ascending=False, kind="stable").iloc[0]
    return (
        f"Both annotators give {words.percent(same / total)} of {int(total)} sentences the "
        f"same label; most often {most['reference']} by the reference is {most['other']} by the other "
        f"({int(most['count'])} sentences)."
    )


def _scores_reading(data: pd.DataFrame) -> str:
    parts = [f"{row.label} {words.percent_estimate(row.f1, row.f1_low, row.f1_high)}" for row in rows(data)]
    return f"F1 by label, with the reference taken as truth: {words.joined(parts)}."
