"""Figures of an activation store: how long its vectors are, and which channels are louder than the others."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from multidir.errors import DesignError
from multidir.report import draw, words
from multidir.report.cells import checked, known_values, rows, sites_of, unscored
from multidir.report.plot import Plot, compose
from multidir.report.style import INK, ROLE_TONES, TARGET_NAMES
from multidir.store.survey import Survey

_ROLES = ("base", "reasoning")
_BINS = 40
_NAMED = 3
_LEAST = 1e-3
_LOUD = 2.0
"""Channels of this size, against the median one, are named in the figure."""


def norm_table(surveys: Iterable[Survey]) -> pd.DataFrame:
    """Shares of token norms in bins, evenly spaced in their logarithm and the same for all sets.

    Raises:
        DesignError: every activation is zero.
    """
    surveys = list(surveys)
    every = np.concatenate([found.norms for found in surveys])
    low, high = max(every.min(), every.max() * 1e-6), every.max()
    if high == 0:
        raise DesignError("every activation is zero, so there is nothing to draw; was the model loaded rightly?")
    edges = np.geomspace(low, high if high > low else 2 * low, _BINS + 1)
    tables = []
    for found in surveys:
        inside = np.clip(found.norms, edges[0], edges[-1])
        share = np.histogram(inside, edges)[0] / len(inside)
        facts = {"role": found.role, "site": str(found.site), "median": float(np.median(found.norms))}
        facts["first"] = float(np.median(found.first_norms))
        tables.append(pd.DataFrame({**facts, "norm_lo": edges[:-1], "norm_hi": edges[1:], "share": share}))
    return pd.concat(tables, ignore_index=True)


def channel_table(surveys: Iterable[Survey]) -> pd.DataFrame:
    """Size, mean and deviation of every channel, the loudest first, against the size of the median channel."""
    tables = []
    for found in surveys:
        order = np.argsort(-found.rms, kind="stable")
        unit = float(np.median(found.rms)) or 1.0
        mean, rms = np.abs(found.mean[order]) / unit, found.rms[order] / unit
        facts = {"role": found.role, "site": str(found.site), "channel": order, "rms": rms}
        deviation = np.sqrt(np.maximum(rms**2 - mean**2, 0))
        tables.append(pd.DataFrame({**facts, "mean": mean, "deviation": deviation}))
    return pd.concat(tables, ignore_index=True)


def token_norms(table: pd.DataFrame) -> Plot:
    """How long the residual stream's vectors are, by model and site.

    Args:
        table: as `norm_table` makes it: columns role (base | reasoning), site, norm_lo, norm_hi, share, and the medians
            of all norms (median) and of the first tokens' (first).
    Raises:
        FormatError: columns are missing or hold something else.
    """
    what = "token_norms"
    data = checked(table, what, ("role", "site"), ("norm_lo", "norm_hi", "share", "median", "first"), ("share",))
    known_values(data, what, "role", _ROLES)
    data = data.sort_values(["site", "role", "norm_lo"], ignore_index=True)
    sites = sites_of(data)

    def paint(figure: Figure, narrow: bool) -> None:
        panels = draw.panels(figure, len(sites), 1, narrow)
        for axes, site in zip(panels, sites, strict=True):
            for role in _ROLES:
                _norm_steps(axes, data[(data["site"] == site) & (data["role"] == role)], role)
            axes.set_title(site)
            axes.set_xscale("log")
            draw.percent_axis(axes, "tokens")
        draw.from_zero(panels, float(np.nan_to_num(data["share"].max())))
        panels[-1].set_xlabel("norm of a token's vector (triangle: median first token)")
        roles = [role for role in _ROLES if (data["role"] == role).any()]
        draw.legend(figure, [draw.line_key(ROLE_TONES[r], TARGET_NAMES[r], marker="None") for r in roles], 2)

    return compose(
        paint,
        data,
        name="token_norms",
        title="Token norms",
        reading=_norm_reading(data),
        note=unscored(data, "share"),
        wide=(7.6, 1.9 * len(sites) + 1.0),
        narrow=(3.7, 1.9 * len(sites) + 1.0),
    )


def channel_sizes(table: pd.DataFrame) -> Plot:
    """Mean and deviation of every channel, by model and site: those far out are louder than the others.

    Args:
        table: as `channel_table` makes it: columns role (base | reasoning), site, channel, rms, mean (its size) and
            deviation, all against the median channel's root mean square.
    Raises:
        FormatError: columns are missing or hold something else.
    """
    what = "channel_sizes"
    data = checked(table, what, ("role", "site"), ("channel", "rms", "mean", "deviation"))
    known_values(data, what, "role", _ROLES)
    data = data.sort_values(["site", "role", "rms", "channel"], ascending=[True, True, False, True], ignore_index=True)
    sites = sites_of(data)
    roles = [role for role in _ROLES if (data["role"] == role).any()]

    def paint(figure: Figure, narrow: bool) -> None:
        shape = (len(sites) * len(roles), 1) if narrow else (len(sites), len(roles))
        panels = list(figure.subplots(*shape, sharex=True, sharey=True, squeeze=False).ravel())
        for axes, (site, role) in zip(panels, [(site, role) for site in sites for role in roles], strict=True):
            _channel_cloud(axes, data[(data["site"] == site) & (data["role"] == role)], role)
            axes.set_title(f"{site}, {TARGET_NAMES[role]}")
        for axes in panels[:: shape[1]]:
            axes.set_ylabel("deviation")
        for axes in panels[-shape[1] :]:
            axes.set_xlabel("size of the mean (median channel = 1)")

    return compose(
        paint,
        data,
        name="channel_sizes",
        title="Loud channels",
        reading=_channel_reading(data),
        note=unscored(data, "rms"),
        wide=(7.6 if len(roles) > 1 else 4.6, 2.3 * len(sites) + 0.7),
        narrow=(3.7, 2.3 * len(sites) * len(roles) + 0.6),
    )


def _norm_steps(axes: Axes, points: pd.DataFrame, role: str) -> None:
    if points.empty:
        return
    tone = ROLE_TONES[role]
    edges = [*points["norm_lo"], points["norm_hi"].iloc[-1]]
    axes.stairs(points["share"], edges, color=tone.light, linewidth=1.6)
    axes.stairs(points["share"], edges, color=tone.light, alpha=0.14, fill=True)
    axes.plot(points["first"].iloc[:1], [0], "^", color=tone.light, clip_on=False, zorder=4, label="_first")


def _channel_cloud(axes: Axes, points: pd.DataFrame, role: str) -> None:
    """A channel that stands still has no place on a logarithmic axis: it is drawn at the edge."""
    tone, known = ROLE_TONES[role], points.dropna(subset="rms")
    axes.set_xscale("log")
    axes.set_yscale("log")
    x, y = known["mean"].clip(lower=_LEAST), known["deviation"].clip(lower=_LEAST)
    axes.plot(x, y, tone.marker, color=tone.light, markersize=2.6, alpha=0.55, markeredgewidth=0, label=role)
    if (loud := known["rms"] > _LOUD).any():
        for across, along, channel in list(zip(x[loud], y[loud], known["channel"][loud], strict=True))[:_NAMED]:
            draw.write(axes, f"{channel:g}", (across, along), INK, (0, 4), "center bottom")


def _norm_reading(data: pd.DataFrame) -> str:
    parts = [
        f"{row.median:.3g} in the {TARGET_NAMES[row.role]} at {row.site}"
        for row in rows(data.drop_duplicates(["site", "role"]))
    ]
    return f"The median token norm is {words.joined(parts)}."


def _channel_reading(data: pd.DataFrame) -> str:
    parts = []
    for (site, role), group in data.groupby(["site", "role"], sort=True):
        named = [f"{row.channel:g} ({words.fold(row.rms)})" for row in rows(group.head(_NAMED))]
        parts.append(f"{words.joined(named)} in the {TARGET_NAMES[str(role)]} at {site}")
    return f"The loudest channels, against the median channel, are {'; '.join(parts)}."
