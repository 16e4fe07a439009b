"""Figures of ablation: what is lost and at what damage, what the model writes, what stays readable, who is needed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from multidir.report import draw, words
from multidir.report.cells import checked, unscored
from multidir.report.figures.forest import forest, height
from multidir.report.plot import Plot, compose
from multidir.report.style import (
    BASE,
    INK,
    LESS,
    MEAN,
    MUTED,
    OTHER_LABEL,
    PAIR,
    RANDOM,
    RANDOM_LIKE,
    REASONING,
    SELF,
    Tone,
)

TONES: dict[str, Tone] = {
    "project": BASE,
    "mean": REASONING,
    "span": PAIR,
    "leace": OTHER_LABEL,
    "inlp": MEAN,
    "gated": SELF,
    "latents": LESS,
    "random": RANDOM,
    "matched": RANDOM_LIKE,
    "none": MUTED,
}
NAMES = {
    "project": "projected out",
    "mean": "held at the mean",
    "span": "span of several",
    "leace": "LEACE",
    "inlp": "INLP",
    "gated": "gated",
    "latents": "latents off",
    "random": "random, taken out alike",
    "matched": "random, equal norm",
}
NULLS = {"random": "random directions taken out alike", "matched": "random ablations of equal norm"}
_KINDS = ("none", *NAMES)


def ablation_damage(table: pd.DataFrame) -> Plot:
    """Fall of the log-odds against what else moves: every arm from a share of it to all of it.

    Args:
        table: one row per arm and share with columns arm, kind, share, edit_norm, fall, kl.
    Raises:
        FormatError: columns are missing or hold something else.
    """
    data = _in_order(checked(table, "ablation_damage", ("arm", "kind"), ("share", "edit_norm", "fall", "kl")), "share")

    def paint(figure: Figure, narrow: bool) -> None:
        panels = draw.panels(figure, 1, 2, narrow)
        for axes, x, label in zip(
            panels, ("edit_norm", "kl"), ("edit, of the mean residual norm", "KL elsewhere (nats)"), strict=True
        ):
            for (_, kind), part in data.dropna(subset=["fall"]).groupby(["arm", "kind"], sort=False):
                tone, xs, ys = TONES.get(str(kind), INK), [0, *part[x]], [0, *part["fall"]]
                if kind in NULLS:
                    xs, ys = xs[1:], ys[1:]
                axes.plot(xs, ys, color=tone.light, linewidth=1.3, alpha=0.8, zorder=1.5 if kind in NULLS else 2)
                axes.plot(xs[-1:], ys[-1:], tone.marker, color=tone.light, markersize=5)
            axes.set_xlabel(label)
            axes.set_xlim(left=0)
        panels[0].set_ylabel("fall of the log-odds before the behaviour")
        kinds = [kind for kind in NAMES if (data["kind"] == kind).any()]
        draw.legend(figure, [draw.line_key(TONES[kind], NAMES[kind]) for kind in kinds], 2 if narrow else 4)

    return compose(
        paint,
        data,
        name="ablation_damage",
        title="What is lost, at which damage",
        reading=_damage_reading(data),
        note=unscored(data, "fall"),
        wide=(7.6, 3.8),
        narrow=(3.7, 6.2),
    )


def ablation_screen(table: pd.DataFrame) -> Plot:
    """What gradients say an ablation does against what it does.

    Args:
        table: one row per arm and share with columns arm, kind, share, fall, estimated, integrated.
    Raises:
        FormatError: columns are missing or hold something else.
    """
    numbers = ("share", "fall", "estimated", "integrated")
    data = _in_order(checked(table, "ablation_screen", ("arm", "kind"), numbers))
    full = data[data["share"] == 1].reset_index(drop=True)

    def paint(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        for kind, part in full.groupby("kind", sort=False):
            tone = TONES.get(str(kind), INK)
            axes.plot(part["estimated"], part["fall"], tone.marker, color=tone.light, markersize=5, linestyle="")
        ends = [
            min(0.0, float(full[["estimated", "fall"]].min().min())),
            float(full[["estimated", "fall"]].max().max()),
        ]
        axes.plot(ends, ends, color=MUTED.light, linewidth=1, linestyle=(0, (1, 1.6)))
        axes.set_xlabel("fall by gradient x edit")
        axes.set_ylabel("fall, measured")
        kinds = [kind for kind in NAMES if (full["kind"] == kind).any()]
        draw.legend(figure, [draw.line_key(TONES[kind], NAMES[kind], "") for kind in kinds], 2 if narrow else 4)

    return compose(
        paint,
        full,
        name="ablation_screen",
        title="Attribution patching as a screen",
        reading=_screen_reading(full),
        note=unscored(full, "fall"),
        wide=(6.0, 4.2),
        narrow=(3.7, 4.4),
    )


def ablation_texts(table: pd.DataFrame) -> Plot:
    """Change of spontaneous backtracking by every arm, as the model writes.

    Args:
        table: one row per arm with columns arm, kind, share, change, change_low, change_high; the row of kind `none` is
            nothing taken out.
    Raises:
        FormatError: columns are missing or hold something else.
    """
    numbers = ("share", "change", "change_low", "change_high")
    data = _in_order(checked(table, "ablation_texts", ("arm", "kind"), numbers))
    shown = data[data["kind"] != "none"].reset_index(drop=True)
    names = [NULLS.get(kind, arm) for arm, kind in zip(shown["arm"], shown["kind"], strict=True)]

    def paint(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        points = 100 * shown[["change", "change_low", "change_high"]]
        points.columns = ["value", "low", "high"]
        forest(axes, points, names, [TONES.get(kind, INK) for kind in shown["kind"]], narrow)
        axes.set_xlabel(
            "change, percentage points" if narrow else "change of backtracking sentences, percentage points"
        )

    return compose(
        paint,
        data,
        name="ablation_texts",
        title="Backtracking without them",
        reading=_texts_reading(data, shown),
        note=unscored(shown, "change"),
        wide=(7.6, height(len(shown), False)),
        narrow=(3.8, height(len(shown), True)),
    )


def ablation_probes(table: pd.DataFrame) -> Plot:
    """What fresh probes still read after each erasure, by what they look for.

    Args:
        table: one row per target and arm with columns target, arm, kind, auroc, low, high.
    Raises:
        FormatError: columns are missing or hold something else.
    """
    data = checked(table, "ablation_probes", ("target", "arm", "kind"), ("auroc", "low", "high"), ("auroc",))
    data = _in_order(data, first=["target"])
    targets = list(dict.fromkeys(data["target"]))
    count = data["arm"].nunique()

    def paint(figure: Figure, narrow: bool) -> None:
        panels = draw.panels(figure, 1, len(targets), narrow)
        for axes, target in zip(panels, targets, strict=True):
            part = data[data["target"] == target]
            names = list(part["arm"]) if narrow or axes is panels[0] else []
            shown = part[["auroc", "low", "high"]].set_axis(["value", "low", "high"], axis=1)
            forest(axes, shown, names, [TONES.get(kind, INK) for kind in part["kind"]], narrow)
            axes.axvline(0.5, color=MUTED.light, linewidth=1, linestyle=(0, (1, 1.6)))
            axes.set_xlim(0.35, 1.02)
            axes.set_title(target)
            axes.set_xlabel("AUROC of fresh probes")

    return compose(
        paint,
        data,
        name="ablation_probes",
        title="What stays readable",
        reading=_probes_reading(data),
        note=unscored(data, "auroc"),
        wide=(7.6, height(count, False)),
        narrow=(3.8, len(targets) * height(count, True)),
    )


def ablation_sets(table: pd.DataFrame) -> Plot:
    """What is missing when one member, or one group, is left out of the set.

    Args:
        table: rows with columns part, name, fall, loss, loss_low, loss_high.
    Raises:
        FormatError: columns are missing or hold something else.
    """
    data = checked(table, "ablation_sets", ("part", "name"), ("fall", "loss", "loss_low", "loss_high"))
    data = data.sort_values(["part", "name"], ignore_index=True)
    shown = data[data["part"].str.startswith("without")].reset_index(drop=True)
    names = [f"{part} {name}" for part, name in zip(shown["part"], shown["name"], strict=True)]

    def paint(figure: Figure, narrow: bool) -> None:
        axes = figure.subplots()
        points = shown[["loss", "loss_low", "loss_high"]].set_axis(["value", "low", "high"], axis=1)
        forest(axes, points, names, [REASONING if low > 0 else INK for low in shown["loss_low"]], narrow)
        axes.set_xlabel("fall of the log-odds that is missing")

    needed = shown[(shown["part"] == "without") & (shown["loss_low"] > 0)]
    members = int((shown["part"] == "without").sum())
    return compose(
        paint,
        data,
        name="ablation_sets",
        title="Who is needed",
        reading=_sets_reading(shown, members, len(needed)),
        note=unscored(shown, "loss"),
        wide=(7.2, height(len(shown), False)),
        narrow=(3.8, height(len(shown), True)),
    )


def _in_order(data: pd.DataFrame, *last: str, first: Sequence[str] = ()) -> pd.DataFrame:
    """Arms by kind, as the legend has them, then by name."""
    place = data["kind"].map({kind: i for i, kind in enumerate(_KINDS)}).fillna(len(_KINDS))
    ordered = data.assign(place=place).sort_values([*first, "place", "arm", *last], ignore_index=True)
    return ordered.drop(columns="place")


def _sets_reading(shown: pd.DataFrame, members: int, needed: int) -> str:
    if shown["loss"].isna().all():
        return "What is missing without a direction could not be measured."
    return f"Of {members} directions {needed} are each needed: without one of them the rest does less."


def _damage_reading(data: pd.DataFrame) -> str:
    full = data[(data["share"] == 1) & ~data["kind"].isin(NULLS)].dropna(subset=["fall"])
    if full.empty:
        return "No ablation could be measured."
    best = full.sort_values("fall", ascending=False).iloc[0]
    text = f"Most is lost by '{best['arm']}': {best['fall']:.2f} log-odds at a KL of {best['kl']:.3f} nats elsewhere"
    for kind, name in NULLS.items():
        null = data.loc[data["kind"] == kind, "fall"].dropna()
        if len(null):
            text += f"; {len(null)} {name} take {null.median():.2f} at the median and {null.max():.2f} at most"
    return f"{text}."


def _screen_reading(full: pd.DataFrame) -> str:
    both = full.dropna(subset=["estimated", "fall"])
    if len(both) < 3:
        return "Too few ablations were measured."
    r = float(np.corrcoef(both["estimated"], both["fall"])[0, 1])
    off = float((both["estimated"] - both["fall"]).abs().median())
    return (
        f"Over {len(both)} ablations the estimate correlates with the measured fall at {r:.2f}, with a median error of "
        f"{off:.2f} log-odds."
    )


def _texts_reading(data: pd.DataFrame, shown: pd.DataFrame) -> str:
    real = shown[~shown["kind"].isin(NULLS)].dropna(subset=["change"])
    plain = data.loc[data["kind"] == "none", "share"]
    if real.empty or plain.isna().all():
        return "No text could be scored."
    best = real.sort_values("change").iloc[0]
    text = f"{words.percent(plain.iloc[0])} of sentences backtrack; with '{best['arm']}' {words.percent(best['share'])}"
    for _, row in shown[shown["kind"].isin(NULLS)].dropna(subset=["change"]).iterrows():
        change = words.estimate(100 * row["change"], 100 * row["change_low"], 100 * row["change_high"], 1)
        text += f"; {NULLS[row['kind']]} change it by {change} points"
    return f"{text}."


def _probes_reading(data: pd.DataFrame) -> str:
    first = data[data["target"] == data["target"].iloc[0]].dropna(subset=["auroc"])
    if first.empty:
        return "There are too few traces for probes."
    plain, least = first.iloc[0], first.sort_values("auroc").iloc[0]
    return (
        f"Fresh probes read {first['target'].iloc[0]} with AUROC {plain['auroc']:.2f} as it is, and with "
        f"{words.estimate(least['auroc'], least['low'], least['high'])} after '{least['arm']}', which leaves least."
    )
