"""The offset grid: backtracking against the place before the sentence where a direction was found."""

from __future__ import annotations

from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from multidir.errors import FormatError
from multidir.report import draw, words
from multidir.report.cells import checked, highest, known_values, no_repeats, one_unit, rows, sites_of, unscored
from multidir.report.figures.dose_points import MEASURES, Measure, best, passing, without_coherence
from multidir.report.plot import Plot, compose
from multidir.report.style import ROLE_NAMES, ROLE_TONES, TARGET_NAMES

_ROLES = ("base", "reasoning")


def offset_grid(
    cells: pd.DataFrame,
    target: str = "reasoning",
    coherent_at_least: float | None = 0.8,
    measure: Measure = "backtrack",
) -> Plot:
    """Backtracking of the steered model against the token window its direction was taken from, a line per dose.

    The dose of the best coherent cell is drawn strong, with intervals and the extent of each window; the other
    doses are faint. Each origin and site has its own panel.

    Args:
        cells: one row per cell with columns target, direction_role (base | reasoning | none), offset_lo,
            offset_hi (tokens relative to the first token of the sentence, both inclusive; empty for none), dose,
            dose_unit, coherent_share, for the measure backtrack_share, low, high or keyword_share, keyword_low,
            keyword_high, and site where there are several.
        target: role of the steered model; rows of the other model are left out.
        coherent_at_least: share of coherent generations from which a cell counts as coherent; None for tables of
            others that do not report it.
        measure: `backtrack` (labelled sentences) or `keyword` (words).
    Raises:
        FormatError: columns are missing or hold something else.
    """
    what = "offset_grid"
    data = _grid_points(cells, what, target, coherent_at_least, measure)
    derived = data[data["direction_role"] != "none"]
    roles = [role for role in _ROLES if (derived["direction_role"] == role).any()]
    if not roles:
        raise FormatError(f"{what}: no cell with a base- or reasoning-derived direction steers the {target} model")
    sites = sites_of(derived)

    def paint(figure: Figure, narrow: bool) -> None:
        panels = draw.panels(figure, len(sites), len(roles), narrow)
        plan = [(site, role) for site in sites for role in roles]
        for axes, (site, role) in zip(panels, plan, strict=True):
            _grid_panel(axes, derived[(derived["direction_role"] == role) & (derived["site"] == site)], role, site)
            draw.level(axes, _unsteered(data))
        draw.from_zero(panels, 1.1 * draw.reach(data))
        for axes in panels if narrow else panels[:: len(roles)]:
            draw.percent_axis(axes, MEASURES[measure][4] if narrow else MEASURES[measure][3])
        last = 1 if narrow else len(roles)
        for place, axes in enumerate(panels):
            draw.sentence_start(axes, label=place >= len(panels) - last)
        draw.legend(figure, _grid_keys(data, roles), 2 if narrow else 4)

    return compose(
        paint,
        data if any(sites) else data.drop(columns="site"),
        name="offset_grid" if measure == "backtrack" else "offset_grid_keyword",
        title="Where a direction was found, and what it does",
        reading=_grid_reading(derived, roles, target),
        note=" ".join(part for part in (without_coherence(coherent_at_least), unscored(data)) if part),
        wide=(7.6 if len(roles) > 1 else 5.4, 2.8 * len(sites) + 0.7),
        narrow=(3.7, 2.4 * len(roles) * len(sites) + 0.8),
    )


def _grid_points(
    cells: pd.DataFrame, what: str, target: str, coherent_at_least: float | None, measure: Measure
) -> pd.DataFrame:
    value, low, high, _, _ = MEASURES[measure]
    shares = (value, low, high, "coherent_share")
    numbers = ("offset_lo", "offset_hi", "dose", *shares)
    cells = cells if "site" in cells else cells.assign(site="")
    table = checked(cells, what, ("target", "direction_role", "site", "dose_unit"), numbers, shares)
    known_values(table, what, "direction_role", (*_ROLES, "none"))
    known_values(table, what, "target", TARGET_NAMES)
    one_unit(table, what)
    table = table[table["target"] == target].rename(columns={value: "value", low: "low", high: "high"})
    no_repeats(table, what, ["direction_role", "site", "offset_lo", "offset_hi", "dose"])
    table = table.assign(offset=draw.offsets(table), coherent=passing(table["coherent_share"], coherent_at_least))
    return table.sort_values(["direction_role", "site", "dose", "offset"], ignore_index=True)


def _unsteered(data: pd.DataFrame) -> float:
    none = data.loc[data["direction_role"] == "none", "value"]
    return float(none.iloc[0]) if len(none) else float("nan")


def _grid_panel(axes: Axes, data: pd.DataFrame, role: str, site: str) -> None:
    tone, strong = ROLE_TONES[role], best(data)
    axes.set_title(f"{site}: {ROLE_NAMES[role]}" if site else f"{ROLE_NAMES[role]} direction")
    written: list[tuple[float, float]] = []
    for dose, points in sorted(data.groupby("dose"), key=lambda item: strong is None or item[0] != strong["dose"]):
        name = f"{site}/{role}/{dose:g}"
        is_strong = strong is not None and dose == strong["dose"]
        if is_strong:
            draw.curve(axes, points, "offset", tone, name)
            draw.extents(axes, points, tone)
        else:
            axes.plot(points["offset"], points["value"], color=tone.light, linewidth=1, alpha=0.4, label=name)
        top = highest(points, "value")
        # the dose stands at the highest point, where the lines lie furthest apart, unless another one stands there
        at = (float("nan"), float("nan")) if top is None else (float(top["offset"]), float(top["value"]))
        near = 0.1 * data["value"].max()
        if top is not None and all(abs(at[0] - x) > 2 or abs(at[1] - y) > near for x, y in written):
            text, weight = (f"dose {dose:g}", "bold") if is_strong else (f"{dose:g}", "normal")
            draw.write(axes, text, at, tone, (0, 5 if is_strong else 2), weight=weight)
            written.append(at)


def _grid_keys(data: pd.DataFrame, roles: list[str]) -> list[Any]:
    keys = [draw.line_key(ROLE_TONES[role], f"{ROLE_NAMES[role]}, best dose") for role in roles]
    if data.loc[data["direction_role"] != "none", "dose"].nunique() > 1:
        keys.append(draw.faint_key("other doses"))
    return [*keys, draw.level_key("unsteered")] if (data["direction_role"] == "none").any() else keys


def _grid_reading(derived: pd.DataFrame, roles: list[str], target: str) -> str:
    parts = []
    for role in roles:
        some = derived[derived["direction_role"] == role]
        top = best(some)
        if top is None:
            parts.append(f"no {ROLE_NAMES[role]} direction was both scored and coherent")
            continue
        where = f" of {top['site']}" if top["site"] else ""
        part = (
            f"the {ROLE_NAMES[role]} direction works best from tokens "
            f"{words.window(top['offset_lo'], top['offset_hi'])}{where} "
            f"({words.percent_estimate(top['value'], top['low'], top['high'])} at dose {top['dose']:g})"
        )
        inside = some[(some["offset_lo"] >= 0) & (some["dose"] == top["dose"]) & (some["site"] == top["site"])]
        for row in rows(inside.head(1)):
            part += f", against {words.percent(row.value)} from {words.window(row.offset_lo, row.offset_hi)}"
        parts.append(part)
    return f"In the {TARGET_NAMES[target]}, {'; '.join(parts)}."
