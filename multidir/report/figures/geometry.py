"""Figures of how directions lie to each other: cosines of all pairs, agreement of the models, principal angles."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from multidir.errors import FormatError
from multidir.report import draw, words
from multidir.report.cells import checked, no_repeats, rows, unscored
from multidir.report.plot import Plot, compose
from multidir.report.style import BASE, INK, MUTED, NOISE, RANDOM, REASONING, ROLE_NAMES, ROLE_TONES

AXES: dict[str, str] = {
    "label": "labels",
    "category": "categories of problems",
    "window": "token windows",
    "site": "sites",
    "model": "models",
}
"""What is varied, in words."""

_MOST_WRITTEN = 11
"""A matrix with more rows than this shows colours only."""


def cosine_matrix(table: pd.DataFrame) -> Plot:
    """Cosines between all directions along one axis, one matrix per model.

    Args:
        table: one row per pair with columns axis (one and the same), within (base | reasoning), a, b, cosine, low,
            high.
    Raises:
        FormatError: columns are missing or hold something else, several axes, or a pair stands twice.
    """
    what = "cosine_matrix"
    data = _one_axis(table, what, ["cosine", "low", "high"], ["within", "a", "b"])
    axis, models = str(data["axis"].iloc[0]), list(dict.fromkeys(data["within"]))

    def paint(figure: Figure, narrow: bool) -> None:
        shape = (len(models), 1) if narrow else (1, len(models))
        panels = figure.subplots(*shape, squeeze=False).ravel()
        for place, (panel, model) in enumerate(zip(panels, models, strict=True)):
            _matrix_panel(panel, data[data["within"] == model], ROLE_NAMES.get(model, model), narrow or place == 0)
        keys = [draw.band_key(REASONING, "same direction"), draw.band_key(BASE, "opposite")]
        draw.legend(figure, keys, 2)

    n = len({*data["a"], *data["b"]})
    side = min(4.2, 1.5 + 0.34 * n)
    return compose(
        paint,
        data,
        name=f"cosines_{axis}",
        title=f"Cosines between {AXES[axis]}",
        reading=_matrix_reading(data, axis),
        note=unscored(data, "cosine"),
        wide=(min(7.6, 1.0 + side * len(models)), side + 0.4),
        narrow=(3.7, 3.6 * len(models) + 0.3),
    )


def model_agreement(table: pd.DataFrame) -> Plot:
    """Cosine between the two models' directions, for every label: noise removed, and as found.

    Args:
        table: one row per label with columns axis (model), within (the label), a, b, cosine, low, high, raw_cosine.
    Raises:
        FormatError: columns are missing or hold something else, several axes, or a label stands twice.
    """
    what = "model_agreement"
    data = _one_axis(table, what, ["cosine", "low", "high", "raw_cosine"], ["within", "a", "b"])
    data = data.sort_values("cosine", ignore_index=True, na_position="first")

    def paint(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        for y, row in enumerate(rows(data)):
            axes.plot([row.low, row.high], [y, y], color=INK.light, linewidth=3, alpha=0.35, label="_interval")
        axes.plot(data["cosine"], range(len(data)), "o", color=INK.light, markersize=7, label="noise removed")
        axes.plot(data["raw_cosine"], range(len(data)), "D", color=MUTED.light, fillstyle="none", label="as found")
        axes.set_yticks(range(len(data)), [str(name) for name in data["within"]])
        axes.set_xlim(min([0.0, *(data[["low", "raw_cosine"]].min().dropna() - 0.05)]), 1.02)
        axes.set_xlabel("cosine, base against reasoning")
        axes.grid(visible=True, axis="x")
        axes.grid(visible=False, axis="y")
        keys = [draw.line_key(INK, "noise removed, with interval", ""), draw.line_key(MUTED, "as found", "", "D", True)]
        draw.legend(figure, keys, 1 if narrow else 2)

    return compose(
        paint,
        data,
        name="model_agreement",
        title="Do the two models agree on where a label lies?",
        reading=_agreement_reading(data),
        note=unscored(data, "cosine"),
        wide=(6.4, 1.2 + 0.32 * len(data)),
        narrow=(3.7, 1.5 + 0.32 * len(data)),
    )


def span_angles(table: pd.DataFrame) -> Plot:
    """Principal angles between spans along one axis, beside what noise and chance give.

    Args:
        table: one row per pair and angle with columns axis (one and the same), within, a, b, number, degrees,
            noise_degrees, random_degrees.
    Raises:
        FormatError: columns are missing or hold something else, several axes, or an angle stands twice.
    """
    what = "span_angles"
    numbers = ["degrees", "noise_degrees", "random_degrees", "number"]
    data = _one_axis(table, what, numbers, ["within", "a", "b", "number"])
    axis = str(data["axis"].iloc[0])
    by_role = [(str(name), some) for name, some in data.groupby("within", sort=False)]
    groups = [("", data)] if axis == "model" else by_role
    item = "within" if axis == "model" else "b" if data["b"].nunique() > 1 else "a"

    def paint(figure: Figure, narrow: bool) -> None:
        shape = (len(groups), 1) if narrow else (1, len(groups))
        panels = list(figure.subplots(*shape, squeeze=False, sharey=True).ravel())
        for panel, (name, some) in zip(panels, groups, strict=True):
            _angle_panel(panel, some, name, item)
        for panel in panels if narrow else panels[:1]:
            panel.set_ylabel("degrees")
        keys = [draw.line_key(INK, "principal angles", ""), draw.line_key(NOISE, "halves of the traces", "", "_")]
        draw.legend(figure, [*keys, draw.line_key(RANDOM, "random spans", "", "_")], 1 if narrow else 3)

    return compose(
        paint,
        data,
        name=f"angles_{axis}",
        title=f"Principal angles between {AXES[axis]}",
        reading=_angle_reading(data, axis),
        note=unscored(data, "degrees"),
        wide=(7.6 if len(groups) > 1 or data[item].nunique() > 8 else 5.4, 3.6),
        narrow=(3.7, 2.9 * len(groups) + 0.6),
    )


def _one_axis(table: pd.DataFrame, what: str, numbers: list[str], key: list[str]) -> pd.DataFrame:
    data = checked(table, what, ["axis", *(name for name in key if name != "number")], numbers)
    several = sorted(map(str, data["axis"].unique()))
    unknown = [name for name in several if name not in AXES]
    if len(several) > 1 or unknown:
        raise FormatError(f"{what}: one figure shows one axis of {', '.join(AXES)}, got {', '.join(several)}")
    no_repeats(data, what, key)
    return data.sort_values(key, ignore_index=True, key=lambda column: column.map(_natural))


def _natural(item: Any) -> tuple[float, str]:
    """Windows and sites by their number, everything else by name."""
    number = re.match(r"L?(-?\d+)", str(item))
    return (float(number[1]) if number else 0.0, str(item))


def _matrix_panel(axes: Axes, pairs: pd.DataFrame, name: str, with_names: bool) -> None:
    items = sorted({*pairs["a"], *pairs["b"]}, key=_natural)
    place = {item: i for i, item in enumerate(items)}
    axes.set_title(name)
    axes.grid(visible=False)
    for row in rows(pairs):
        for x, y in ((place[row.a], place[row.b]), (place[row.b], place[row.a])):
            _cell(axes, x, y, row.cosine, len(items) <= _MOST_WRITTEN and y > x)
    axes.set_xlim(-0.5, len(items) - 0.5)
    axes.set_ylim(len(items) - 0.5, -0.5)
    axes.set_aspect("equal")
    step = max(1, len(items) // 8) if len(items) > _MOST_WRITTEN else 1
    ticks, short = range(0, len(items), step), [_short(item) for item in items]
    axes.set_xticks(ticks, short[::step], rotation=90, fontsize=7.5)
    axes.set_yticks(ticks, short[::step] if with_names else [], fontsize=7.5)
    for side in ("left", "bottom"):
        axes.spines[side].set_visible(False)


def _cell(axes: Axes, x: int, y: int, cosine: float, written: bool) -> None:
    if words.is_unknown(cosine):
        return
    tone = REASONING if cosine > 0 else BASE
    axes.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=tone.light, alpha=min(1.0, abs(cosine)), linewidth=0))
    if written:
        text = f"{cosine:.2f}".replace("0.", ".", 1)
        axes.text(x, y, text, ha="center", va="center", fontsize=6.5, color=INK.light, path_effects=draw.HALO)


def _short(item: str) -> str:
    return str(item).removesuffix(".resid_post")


def _matrix_reading(data: pd.DataFrame, axis: str) -> str:
    parts = []
    for model, some in data.groupby("within", sort=False):
        known = some.dropna(subset="cosine").sort_values("cosine", kind="stable")
        if known.empty:
            continue
        low, high = known.iloc[0], known.iloc[-1]
        text = f"in the {model} model the nearest are {_pair(high)}"
        parts.append(f"{text}, the furthest {_pair(low)}" if len(known) > 1 else text)
    return f"Of all {AXES[axis]}, {'; '.join(parts)}." if parts else "No cosine could be estimated."


def _pair(row: Any) -> str:
    return f"{_short(row['a'])} and {_short(row['b'])} ({words.estimate(row['cosine'], row['low'], row['high'])})"


def _agreement_reading(data: pd.DataFrame) -> str:
    known = data.dropna(subset="cosine")
    if known.empty:
        return "No cosine could be estimated."
    chosen = pd.concat([known.iloc[[-1]], known[known["within"] == "backtracking"], known.iloc[[0]]]).drop_duplicates()
    parts = [f"{words.estimate(row.cosine, row.low, row.high)} on {row.within}" for row in rows(chosen)]
    return f"The two models' directions have cosine {words.joined(parts)}."


def _angle_panel(axes: Axes, data: pd.DataFrame, name: str, item: str) -> None:
    names = list(dict.fromkeys(data[item]))
    axes.set_title(ROLE_NAMES.get(name, name) if name else "base against reasoning")
    tone = ROLE_TONES.get(name, INK)
    for x, label in enumerate(names):
        some = data[data[item] == label]
        axes.plot([x] * len(some), some["degrees"], "o", color=tone.light, markersize=4.5, label=f"{name}/{label}")
        for shift, column, level in ((-0.22, "noise_degrees", NOISE), (0.22, "random_degrees", RANDOM)):
            axes.plot([x + shift] * len(some), some[column], "_", color=level.light, markersize=7, label=f"_{column}")
    axes.set_ylim(-3, 93)
    axes.set_yticks([0, 30, 60, 90])
    axes.set_xlim(-0.6, len(names) - 0.4)
    step = max(1, len(names) // 12)
    axes.set_xticks(range(0, len(names), step), [_short(n) for n in names][::step], rotation=90, fontsize=7.5)


def _angle_reading(data: pd.DataFrame, axis: str) -> str:
    known = data.dropna(subset="degrees")
    if known.empty:
        return "No angle could be measured."
    pairs = [some for _, some in known.groupby(["within", "a", "b"], sort=False)]
    best = min(pairs, key=lambda some: float(some["degrees"].max()))
    within, a, b = (str(best[name].iloc[0]) for name in ("within", "a", "b"))
    where = f"{_short(a)} and {_short(b)}" + (f" at {_short(within)}" if axis == "model" else f" in the {within} model")
    return (
        f"The nearest two spans are those of {where}: angles from {best['degrees'].min():.0f} to "
        f"{best['degrees'].max():.0f} degrees, where halves of the traces give {best['noise_degrees'].min():.0f} to "
        f"{best['noise_degrees'].max():.0f} and random spans {best['random_degrees'].min():.0f} to "
        f"{best['random_degrees'].max():.0f}."
    )
