"""Figures of steering: dose curves in both models, and which model answers to which direction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from multidir.report import draw, words
from multidir.report.cells import point_at, unscored
from multidir.report.figures.dose_points import MEASURES, TARGETS, Measure, best, dose_points, without_coherence
from multidir.report.plot import Plot, compose
from multidir.report.style import INK, MUTED, NULLS, ROLE_NAMES, ROLE_TONES, TARGET_LINES, TARGET_NAMES, Tone

DERIVED = ("base", "reasoning")
"""Origins of the directions that a figure is about; the others are there to compare."""

_MORE_MARKERS = "Dv<>P"
"""For further directions of one origin; the first has the marker of its tone."""


def dose_curves(
    cells: pd.DataFrame,
    measure: Measure = "backtrack",
    coherent_at_least: float | None = 0.8,
    targets: Sequence[str] = TARGETS,
) -> Plot:
    """How much backtracking each direction causes as its dose grows, in both models.

    Args:
        cells: one row per cell with columns target (base | reasoning), direction_role (base | reasoning | random |
            random-cov | shuffled | noise | label | mean | self | none), direction, dose, dose_unit, n_prompts,
            coherent_share and, for the measure, backtrack_share, low, high or keyword_share, keyword_low, keyword_high.
        measure: `backtrack` (labelled sentences) or `keyword` (words).
        coherent_at_least: cells below this share of coherent generations are drawn hollow; None for tables of
            others that do not report it.
        targets: models with a panel.
    Raises:
        FormatError: columns are missing or hold something else.
    """
    what = "dose_curves"
    points = dose_points(cells, what, measure, coherent_at_least)
    unit, (_, _, _, label, noun) = str(cells["dose_unit"].iloc[0]), MEASURES[measure]

    def paint(figure: Figure, narrow: bool) -> None:
        panels = draw.panels(figure, 1, len(targets), narrow)
        for axes, target in zip(panels, targets, strict=True):
            _dose_panel(axes, points[points["target"] == target], target)
        draw.from_zero(panels, 1.15 * draw.reach(points))  # values are written above the highest points
        for axes in panels if narrow else panels[:1]:
            draw.percent_axis(axes, noun if narrow else label)
        for axes in panels[1:] if narrow else panels:
            axes.set_xlabel(words.dose_axis(unit))
        draw.legend(figure, _dose_keys(points), 2 if narrow else 3)

    return compose(
        paint,
        points,
        name="dose_curves" if measure == "backtrack" else "dose_curves_keyword",
        title="Dose curves" if measure == "backtrack" else "Dose curves, counted by keywords",
        reading=_dose_reading(points, noun),
        note=" ".join(part for part in (without_coherence(coherent_at_least), unscored(points)) if part),
        narrow=(3.7, 5.6),
    )


def transfer_matrix(cells: pd.DataFrame, measure: Measure = "backtrack", coherent_at_least: float = 0.8) -> Plot:
    """Base- and reasoning-derived direction in both models, at the dose that is best in the reasoning model.

    The dose is chosen per direction among the coherent cells of the reasoning model; the base model is shown at
    the same dose. If the same outcomes chose the dose, the highest point is a little flattered.

    Args:
        cells: as for `dose_curves`.
        measure: `backtrack` or `keyword`.
        coherent_at_least: share of coherent generations from which a cell counts as coherent.
    Raises:
        FormatError: columns are missing or hold something else.
    """
    what = "transfer_matrix"
    points = dose_points(cells, what, measure, coherent_at_least)
    chosen = [_at_best_dose(points, role) for role in ("base", "reasoning")]
    data = pd.concat([points[points["direction_role"] == "none"], *chosen], ignore_index=True)

    def paint(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        for column, target in enumerate(TARGETS):
            _transfer_column(axes, column, data[data["target"] == target])
        names = [f"{TARGET_NAMES[target]} steered" for target in TARGETS]
        axes.set_xticks(
            [0, 1], [name.replace(" ", "\n", 1) if narrow else name for name in names], fontsize=9, color=INK.light
        )
        axes.set_xlim(-0.5, 1.5)
        draw.from_zero([axes], 1.08 * data[["value", "high"]].max().max())
        draw.percent_axis(axes, MEASURES[measure][3])
        keys = [draw.line_key(ROLE_TONES[r], f"{ROLE_NAMES[r]} direction", "") for r in ("base", "reasoning")]
        keys.append(draw.level_key("unsteered"))
        draw.legend(figure, keys, 1 if narrow else 3)

    return compose(
        paint,
        data,
        name="transfer_matrix",
        title="Which model answers to which direction",
        reading=_transfer_reading(data, MEASURES[measure][4]),
        note=unscored(data),
        wide=(6.2, 3.3),
        narrow=(3.7, 3.9),
    )


def _series(points: pd.DataFrame) -> list[tuple[str, str, str, pd.DataFrame]]:
    """(role, direction, marker, points) per drawn line; random first, so that it lies below."""
    found = []
    for role in (*NULLS, "noise", "self", "mean", "label", "reasoning", "base"):
        some = points[points["direction_role"] == role]
        for index, (name, group) in enumerate(some.groupby("direction")):
            marker = _MORE_MARKERS[(index - 1) % len(_MORE_MARKERS)] if index else ROLE_TONES[role].marker
            found.append((role, str(name), marker, group))
    return found


def _short(names: Sequence[str]) -> dict[str, str]:
    """Names without site and window, where that still tells them apart."""
    first = [name.split(" ")[0] for name in names]
    return dict(zip(names, first if len({*first}) == len(first) else names, strict=True))


def _name_peaks(axes: Axes, peaks: list[tuple[pd.Series, str]], near: float) -> None:
    """Write the highest value of each curve; those at one dose that lie near each other, above each other."""
    written: list[pd.Series] = []
    for peak, role in sorted(peaks, key=lambda item: item[0]["high"]):
        line = sum(one["dose"] == peak["dose"] and peak["high"] - one["high"] < near for one in written)
        text = words.percent(peak["value"])
        draw.value_label(axes, peak["dose"], peak["high"], text, ROLE_TONES[role], line)
        written.append(peak)


def _dose_panel(axes: Axes, points: pd.DataFrame, target: str) -> None:
    axes.set_title(f"steering the {TARGET_NAMES[target]}")
    if points.empty:
        draw.not_measured(axes)
    if target == "base":
        _base_ceiling(axes, points)
    none = point_at(points, direction_role="none")
    if none is not None:
        draw.level(axes, none["value"])
    peaks: list[tuple[pd.Series, str]] = []
    for role, name, marker, group in _series(points):
        if role in NULLS:
            _null_spread(axes, group, ROLE_TONES[role], name)
        else:
            draw.curve(axes, group, "dose", ROLE_TONES[role], name, TARGET_LINES[target], marker)
            peak = best(group) if target == "reasoning" and role in DERIVED else None
            peaks += [] if peak is None else [(peak, role)]
    _name_peaks(axes, peaks, 0.1 * points["high"].max())


def _null_spread(axes: Axes, points: pd.DataFrame, tone: Tone, name: str) -> None:
    """Range and median of directions that mean nothing; at a single dose as a bar beside those of the other kinds."""
    steered = points[points["dose"] > 0]
    if len(steered) > 1:
        axes.fill_between(points["dose"], points["low"], points["high"], color=tone.light, alpha=0.22, linewidth=0)
        axes.plot(points["dose"], points["value"], color=tone.light, linewidth=1.2, label=name)
        return
    ends = steered[["low", "high"]].to_numpy().ravel()
    at = steered["dose"].iloc[0] * (1 + 0.03 * NULLS.index(str(steered["direction_role"].iloc[0])))
    axes.plot([at] * 2, ends, color=tone.light, alpha=0.45, linewidth=7, label="_range")
    axes.plot([at], steered["value"], "_", color=tone.light, markersize=13, markeredgewidth=2, label=name)


def _base_ceiling(axes: Axes, points: pd.DataFrame) -> None:
    """Say how high the panel of the base model goes, since its curves usually lie on the axis."""
    derived = points[points["direction_role"].isin(["base", "reasoning"])]
    top = best(derived)
    if top is not None:
        text = f"highest coherent point: {words.percent(top['value'])}"
        axes.text(0.04, 0.95, text, transform=axes.transAxes, va="top", color=MUTED.light, fontsize=8.5)


def _dose_keys(points: pd.DataFrame) -> list[Any]:
    lines = {name: (role, marker) for role, name, marker, _ in _series(points) if role not in NULLS}
    roles = [role for role, _ in lines.values()]
    short = _short(list(lines))
    keys: list[Any] = []
    for name, (role, marker) in reversed(lines.items()):
        label = ROLE_NAMES[role] if roles.count(role) == 1 else short[name]
        keys.append(draw.line_key(ROLE_TONES[role], label, "-", marker))
    for role in NULLS:
        some = points[points["direction_role"] == role]
        if len(some):
            count = int(some["n_directions"].max())
            keys.append(draw.band_key(ROLE_TONES[role], f"{count} {ROLE_NAMES[role]}, range"))
    if not points["coherent"].all():
        keys.append(draw.line_key(MUTED, "hollow: incoherent", "", "o", hollow=True))
    if (points["direction_role"] == "none").any():
        keys.append(draw.level_key("unsteered"))
    return keys


def _at_best_dose(points: pd.DataFrame, role: str) -> pd.DataFrame:
    some = points[points["direction_role"] == role]
    top = best(some[some["target"] == "reasoning"])
    if top is None:
        return some.iloc[:0]
    same: pd.Series = (some["direction"] == top["direction"]) & (some["dose"] == top["dose"])
    return some[same]


def _estimate(point: Any) -> str:
    return "not measured" if point is None else words.percent_estimate(point["value"], point["low"], point["high"])


def _level(points: pd.DataFrame, target: str) -> str:
    point = point_at(points, target=target, direction_role="none")
    return "not measured" if point is None else words.percent(point["value"])


def _dose_reading(points: pd.DataFrame, noun: str) -> str:
    steered = points[points["target"] == "reasoning"]
    role = "base" if (steered["direction_role"] == "base").any() else "reasoning"
    top = best(steered[steered["direction_role"] == role])
    if top is None:
        return f"No dose of the {ROLE_NAMES[role]} direction left the reasoning model's text both scored and coherent."
    several = steered.loc[steered["direction_role"] == role, "direction"].nunique() > 1
    reading = (
        f"At dose {top['dose']:g}, its best coherent one, the {ROLE_NAMES[role]} direction"
        f"{' ' + top['direction'] if several else ''} takes {noun} in the reasoning model from "
        f"{_level(points, 'reasoning')} to {_estimate(top)}"
    )
    other = point_at(points, target="base", direction=top["direction"], dose=top["dose"])
    if other is None:
        reading += "; the base model was not steered with it"
    else:
        reading += f"; the base model there gives {_estimate(other)} (unsteered {_level(points, 'base')})"
    random = point_at(steered, direction_role="random", dose=top["dose"])
    if random is not None:
        reading += f"; the median of the random directions is {words.percent(random['value'])}"
    return f"{reading}."


def _transfer_column(axes: Axes, column: int, data: pd.DataFrame) -> None:
    if data.empty:
        draw.write(axes, "not measured", (column, 0), MUTED, (0, 40), size=9)
    none = point_at(data, direction_role="none")
    if none is not None:
        ends = [column - 0.36, column + 0.36]
        axes.plot(ends, [none["value"]] * 2, color=MUTED.light, linewidth=1.2, linestyle=draw.DOTTED)
    for role, shift in (("base", -0.16), ("reasoning", 0.16)):
        point = point_at(data, direction_role=role)
        if point is not None:
            draw.interval(axes, column + shift, point, ROLE_TONES[role])
            top = point["value"] if words.is_unknown(point["high"]) else max(point["value"], point["high"])
            draw.value_label(axes, column + shift, top, words.percent(point["value"]), ROLE_TONES[role])


def _transfer_reading(data: pd.DataFrame, noun: str) -> str:
    parts = []
    for target in TARGETS:
        if not (data["target"] == target).any():
            parts.append(f"the {TARGET_NAMES[target]} was not measured")
            continue
        points = {role: point_at(data, target=target, direction_role=role) for role in ("base", "reasoning")}
        values = [f"{_estimate(point)} along the {ROLE_NAMES[role]} direction" for role, point in points.items()]
        parts.append(f"in the {TARGET_NAMES[target]} {words.joined(values)} (unsteered {_level(data, target)})")
    doses = sorted({f"{dose:g}" for dose in data.loc[data["direction_role"] != "none", "dose"]})
    at = f"at dose {words.joined(doses)}" if doses else "no dose was coherent"
    return f"{words.capital(noun)}, {at}: {'; '.join(parts)}."
