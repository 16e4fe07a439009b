"""Figures of directions: length and agreement of the two models, and how well a projection announces backtracking."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from multidir.report import draw, words
from multidir.report.cells import checked, flags, highest, known_values, no_repeats, sites_of, unscored
from multidir.report.plot import Plot, compose
from multidir.report.style import INK, RANDOM, ROLE_NAMES, ROLE_TONES

_ROLES = ("base", "reasoning")


def direction_geometry(table: pd.DataFrame, label: str = "backtracking") -> Plot:
    """Length of the directions of both models, and the angle between them, by token window.

    Args:
        table: one row per direction with columns name, role (base | reasoning), site, offset_lo, offset_hi, length,
            length_low, length_high, cosine_between_roles, cosine_low, cosine_high (the same in both roles' rows;
            empty when there is one model only, and then no angle is drawn), and label where there are several.
        label: which label is drawn; the first one of the table when it has no such rows.
    Raises:
        FormatError: columns are missing or hold something else; a role, site and window stands twice.
    """
    what = "direction_geometry"
    table = of_label(table, label)
    lengths, cosines = ["length", "length_low", "length_high"], ["cosine_between_roles", "cosine_low", "cosine_high"]
    data = checked(table, what, ("name", "role", "site"), ["offset_lo", "offset_hi", *lengths, *cosines])
    known_values(data, what, "role", _ROLES)
    no_repeats(data, what, ["role", "site", "offset_lo", "offset_hi"])
    data = data.assign(offset=draw.offsets(data)).sort_values(["site", "role", "offset"], ignore_index=True)
    paired = bool(data["cosine_between_roles"].notna().any())
    kinds = [_length_panel, _cosine_panel] if paired else [_length_panel]
    sites = sites_of(data)

    def paint(figure: Figure, narrow: bool) -> None:
        shape = (len(sites) * len(kinds), 1) if narrow else (len(sites), len(kinds))
        panels = list(figure.subplots(*shape, squeeze=False, sharex=True).ravel())
        plan = [(site, kind) for site in sites for kind in kinds]
        for axes, (site, kind) in zip(panels, plan, strict=True):
            kind(axes, data[data["site"] == site], site)
        for place, axes in enumerate(panels):
            draw.sentence_start(axes, label=place >= len(panels) - shape[1])
        keys = [draw.line_key(ROLE_TONES[role], ROLE_NAMES[role]) for role in _ROLES if (data["role"] == role).any()]
        draw.legend(figure, keys, 2)

    return compose(
        paint,
        data,
        name="direction_geometry",
        title="Length and agreement of the two models' directions" if paired else "Length of the directions",
        reading=_geometry_reading(data),
        note=unscored(data, "length"),
        wide=(7.6 if paired else 5.4, 2.6 * len(sites) + 0.5),
        narrow=(3.7, 2.3 * len(sites) * len(kinds) + 0.5),
    )


def projection_separation(table: pd.DataFrame) -> Plot:
    """How well the projection on each direction tells windows before backtracking from others, by token window.

    Args:
        table: one row per role, window and (where that column stands) site, with columns role (base | reasoning),
            offset_lo, offset_hi, auroc, low, high.
    Raises:
        FormatError: columns are missing or hold something else; a role, site and window stands twice.
    """
    what = "projection_separation"
    table = table if "site" in table else table.assign(site="")
    numbers = ("offset_lo", "offset_hi", "auroc", "low", "high")
    data = checked(table, what, ("role", "site"), numbers, ("auroc", "low", "high"))
    known_values(data, what, "role", _ROLES)
    no_repeats(data, what, ["role", "site", "offset_lo", "offset_hi"])
    data = data.assign(offset=draw.offsets(data)).sort_values(["site", "role", "offset"], ignore_index=True)
    sites = sites_of(data)

    def paint(figure: Figure, narrow: bool) -> None:
        panels = draw.panels(figure, 1, len(sites), narrow)
        lowest = min([0.45, *(data[["auroc", "low"]].min().dropna() - 0.02)])
        for axes, site in zip(panels, sites, strict=True):
            _separation_panel(axes, data[data["site"] == site], site, lowest)
        for axes in panels if narrow else panels[:1]:
            axes.set_ylabel("AUROC" if narrow else "AUROC (1 = always told apart)")
        for place, axes in enumerate(panels):
            draw.sentence_start(axes, label=not narrow or place == len(panels) - 1)
        keys = [draw.line_key(ROLE_TONES[r], f"{ROLE_NAMES[r]} direction") for r in _ROLES if (data["role"] == r).any()]
        draw.legend(figure, keys, 1 if narrow else 2)

    return compose(
        paint,
        data if any(sites) else data.drop(columns="site"),
        name="projection_separation",
        title="How well the projection announces backtracking",
        reading=_separation_reading(data),
        note=unscored(data, "auroc"),
        wide=(min(7.6, 5.4 + 2.2 * (len(sites) - 1)), 3.2),
        narrow=(3.7, 2.4 * len(sites) + 1.0),
    )


def projection_histogram(scores: pd.DataFrame, bins: int = 24) -> Plot:
    """Projection on a direction for windows before backtracking sentences and before all others.

    Args:
        scores: one row per sentence with columns role (base | reasoning), projection,
            before_backtracking (bool).
        bins: number of bins at most, shared by both groups; a small group gets fewer.
    Raises:
        FormatError: columns are missing or hold something else, such as sentences without a label.
    """
    what = "projection_histogram"
    table = checked(scores, what, ("role", "before_backtracking"), ("projection",))
    known_values(table, what, "role", ("base", "reasoning"))
    table = flags(table, what, ["before_backtracking"])
    roles = sorted(table["role"].unique())
    data = pd.concat([_histogram(role, table[table["role"] == role], bins) for role in roles], ignore_index=True)

    def paint(figure: Figure, narrow: bool) -> None:
        panels = draw.panels(figure, 1, len(roles), narrow)
        for axes, role in zip(panels, roles, strict=True):
            _histogram_panel(axes, data[data["role"] == role], role)
        for axes in panels if narrow else panels[:1]:
            draw.percent_axis(axes, "share of the group")
        for axes in panels[-1:] if narrow else panels:
            axes.set_xlabel("projection on the direction")
        keys = [draw.band_key(ROLE_TONES[role], f"before backtracking, {ROLE_NAMES[role]}") for role in roles]
        draw.legend(figure, [*keys, draw.band_key(RANDOM, "before other sentences")], 1 if narrow else 3)

    return compose(
        paint,
        data,
        name="projection_histogram",
        title="Projection before backtracking and elsewhere",
        reading=_histogram_reading(table),
        note=unscored(table, "projection"),
        wide=(7.6 if len(roles) > 1 else 5.4, 3.1),
        narrow=(3.7, 2.3 * len(roles) + 0.9),
    )


def of_label(table: pd.DataFrame, label: str) -> pd.DataFrame:
    """The rows of one label, or of the first label there is when it has none; all rows when labels do not stand."""
    if "label" not in table or table.empty:
        return table
    there = sorted(map(str, table["label"].unique()))
    return table[table["label"] == (label if label in there else there[0])]


def _length_panel(axes: Axes, data: pd.DataFrame, site: str) -> None:
    axes.set_title(f"{site}: length")
    for role, some in data.groupby("role"):
        points = some.rename(columns={"length": "value", "length_low": "low", "length_high": "high"})
        draw.curve(axes, points.assign(coherent=True), "offset", ROLE_TONES[str(role)], f"{site}/{role}")
        draw.extents(axes, points, ROLE_TONES[str(role)])
    axes.set_ylim(bottom=0)
    axes.set_ylabel("residual-stream units")


def _cosine_panel(axes: Axes, data: pd.DataFrame, site: str) -> None:
    axes.set_title(f"{site}: base against reasoning")
    names = {"cosine_between_roles": "value", "cosine_low": "low", "cosine_high": "high"}
    points = data.drop_duplicates(["offset_lo", "offset_hi"]).rename(columns=names).sort_values("offset")
    draw.curve(axes, points.assign(coherent=True), "offset", INK, f"{site}/cosine", marker="D")
    draw.extents(axes, points, INK)
    draw.to_one(axes, min([-0.05, *(points[["value", "low"]].min().dropna() - 0.05)]))
    axes.set_ylabel("cosine")
    draw.level(axes, 0.0, "unrelated")


def _separation_panel(axes: Axes, data: pd.DataFrame, site: str, lowest: float) -> None:
    axes.set_title(site)
    for role, some in data.groupby("role"):
        points = some.rename(columns={"auroc": "value"}).assign(coherent=True)
        draw.curve(axes, points, "offset", ROLE_TONES[str(role)], f"{site}/{role}")
        draw.extents(axes, points, ROLE_TONES[str(role)])
    draw.to_one(axes, lowest)
    draw.level(axes, 0.5, "chance")


def _place(row: pd.Series) -> str:
    at = words.window(row["offset_lo"], row["offset_hi"])
    return f"{at} of {row['site']}" if row["site"] else at


def _geometry_reading(data: pd.DataFrame) -> str:
    cosine = data["cosine_between_roles"]
    top, low = highest(data, "cosine_between_roles"), highest(data.assign(turned=-cosine), "turned")
    if top is None:
        longest = highest(data, "length")
        if longest is None:
            return "No direction could be measured."
        length = words.estimate(longest["length"], longest["length_low"], longest["length_high"])
        return f"The longest direction is the {ROLE_NAMES[longest['role']]} one at {_place(longest)}, with {length}."
    values = [words.estimate(at["cosine_between_roles"], at["cosine_low"], at["cosine_high"]) for at in (top, low)]
    if _place(top) == _place(low):
        return f"Base- and reasoning-derived directions at {_place(top)} agree to cosine {values[0]}."
    return (
        f"Base- and reasoning-derived directions agree most at {_place(top)} (cosine {values[0]}) and least at "
        f"{_place(low)} (cosine {values[1]})."
    )


def _separation_reading(data: pd.DataFrame) -> str:
    before = data[data["offset_hi"] < 0]
    where, usable = ("inside", data) if before.empty else ("before", before)
    parts = []
    for role, some in usable.groupby("role"):
        top = highest(some, "auroc")
        if top is not None:
            parts.append(
                f"{ROLE_NAMES[str(role)]} {words.estimate(top['auroc'], top['low'], top['high'])} at {_place(top)}"
            )
    return f"Best AUROC {where} the sentence: {words.joined(parts)}; chance is 0.50."


def _histogram(role: str, scores: pd.DataFrame, bins: int) -> pd.DataFrame:
    known = scores.dropna(subset="projection")
    names = ["role", "before_backtracking", "bin_low", "bin_high", "count", "share", "group_median"]
    smallest = int(known["before_backtracking"].value_counts().min()) if len(known) else 0
    bins = min(bins, max(6, round(1.5 * smallest**0.5)))  # few values in many bins are a fence, not a shape
    edges = np.histogram_bin_edges(known["projection"], bins=bins) if len(known) else np.array([0.0, 1.0])
    parts = []
    for before, group in known.groupby("before_backtracking"):
        counts, _ = np.histogram(group["projection"], bins=edges)
        bars = pd.DataFrame({"bin_low": edges[:-1], "bin_high": edges[1:], "count": counts})
        bars = bars.assign(share=counts / len(group), group_median=float(group["projection"].median()))
        parts.append(bars.assign(role=role, before_backtracking=before)[names])
    return pd.concat(parts) if parts else pd.DataFrame(columns=names)


def _histogram_panel(axes: Axes, data: pd.DataFrame, role: str) -> None:
    axes.set_title(f"{ROLE_NAMES[role]} direction")
    if data.empty:
        draw.not_measured(axes)
    for before, tone in ((False, RANDOM), (True, ROLE_TONES[role])):
        group = data[data["before_backtracking"] == before]
        if group.empty:
            continue
        edges = [*group["bin_low"], group["bin_high"].iloc[-1]]
        axes.stairs(group["share"], edges, fill=True, color=tone.light, alpha=0.3, linewidth=0)
        axes.stairs(group["share"], edges, color=tone.light, linewidth=1.4, label=f"{role}/{before}")
        axes.axvline(group["group_median"].iloc[0], color=tone.light, linewidth=1.6, linestyle=(0, (3, 1.5)))


def _histogram_reading(table: pd.DataFrame) -> str:
    parts = []
    for role, some in table.dropna(subset="projection").groupby("role"):
        before = some["before_backtracking"]
        inside, outside = some.loc[before, "projection"], some.loc[~before, "projection"]
        if len(inside) and len(outside):
            parts.append(
                f"{inside.median():.2f} against {outside.median():.2f} on the {ROLE_NAMES[str(role)]} direction "
                f"({len(inside):,} and {len(outside):,} sentences)"
            )
    if not parts:
        return "One of the two groups is empty, so nothing can be compared."
    return f"Median projection (dashed) before backtracking against elsewhere: {words.joined(parts)}."
