"""Ablation in texts already written: what the log-odds lose, what else changes, and what a gradient would have said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from multidir.experiments.ablation.arms import NULLS, Arm
from multidir.experiments.ablation.verdicts import over_nulls
from multidir.experiments.candidates.gradients import Gradients
from multidir.experiments.directions.places import Questions
from multidir.experiments.probes.score import interval
from multidir.models.language_model import LanguageModel
from multidir.records.direction import Direction
from multidir.records.eraser import Eraser
from multidir.stats.clustered import cluster_means
from multidir.stats.crossed import RandomTreatments, Ratio
from multidir.steer.forced import teacher_forced
from multidir.steer.steering import Mixture
from multidir.types import FloatArray, IntArray


def falls(
    lm: LanguageModel, edits: Sequence[Mixture], questions: Questions, tokens: Sequence[int]
) -> tuple[FloatArray, FloatArray]:
    """Fall of the log-odds before the behaviour, (e, questions there), and KL before other sentences, (e, the rest)."""
    odds, kl = questions.joined(teacher_forced(lm, questions.contexts, [None, *edits], tokens))
    return (odds[0] - odds[1:])[:, questions.before], kl[1:, ~questions.before]


def damage_table(
    lm: LanguageModel,
    arms: Sequence[Arm],
    questions: Questions,
    tokens: Sequence[int],
    gradients: Gradients,
    mean_norm: float,
    shares: Sequence[float],
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Effect and damage of every arm at every share.

    Returns:
        The table: arm, kind, share, edit_norm (mean over edited text, relative to the mean residual norm), fall (of the
        log-odds before the behaviour) with its interval by text, kl (nats, before other sentences), estimated and
        integrated (what gradients say the fall is), n_prompts (texts); for arms in full that are not random,
        fall_over_random and fall_over_matched with their intervals: how much more falls than by another random ablation
        of that kind.
        And each kind of random arms together: arm, kind, fall with its interval, n_prompts.
    """
    cells = [(arm, share) for arm in arms for share in (shares if arm.gradual and arm.kind not in NULLS else (1.0,))]
    fall, kl = falls(lm, [arm.edits(share) for arm, share in cells], questions, tokens)
    text = questions.trace[questions.before]
    found, nulls = cluster_means(fall.T, text), _nulls(cells, fall, text)
    done = {arm.name: arm.change(gradients.x) for arm in arms}
    rows = []
    for (arm, share), estimate, mine, other in zip(cells, found, fall, kl, strict=True):
        change = done[arm.name] * share
        real = share == 1 and arm.kind not in NULLS
        rows.append(
            {
                "arm": arm.name,
                "kind": arm.kind,
                "share": share,
                "edit_norm": float(np.linalg.norm(change, axis=1).mean() / mean_norm),
                **interval("fall", estimate),
                "kl": float(other.mean()),
                "estimated": -gradients.of_edit(change),
                "integrated": -gradients.of_edit(change, integrated=True),
                "n_prompts": estimate.n,
                **(over_nulls(Ratio.of(*_sums(mine, text)), nulls, "fall") if real else {}),
            }
        )
    unmoved = Ratio(0.0, np.zeros(np.unique(text).size))
    pooled = [
        {"arm": kind, "kind": kind, **interval("fall", null.change(unmoved)), "n_prompts": null.cells.shape[1]}
        for kind, null in nulls.items()
    ]
    return pd.DataFrame(rows), pd.DataFrame(pooled)


def _nulls(cells: Sequence[tuple[Arm, float]], fall: FloatArray, text: IntArray) -> dict[str, RandomTreatments]:
    found = {}
    for kind in NULLS:
        mine = [_sums(each, text) for (arm, _), each in zip(cells, fall, strict=True) if arm.kind == kind]
        if len(mine) > 1:
            found[kind] = RandomTreatments.of(*map(np.stack, zip(*mine, strict=True)))
    return found


def _sums(values: FloatArray, text: IntArray) -> tuple[FloatArray, FloatArray]:
    """Sum and number of values by text."""
    place = np.unique(text, return_inverse=True)[1]
    sums: FloatArray = np.bincount(place, weights=values).astype(np.float64)
    return sums, np.bincount(place).astype(np.float64)


def at_equal_damage(table: pd.DataFrame) -> pd.DataFrame:
    """The fall of every arm where all of them have changed the stream, or the predictions, equally much.

    Straight lines between the shares that were measured, from nothing at share 0. The common level is the least that an
    arm reaches in full which makes the log-odds fall; arms that stay below it are not extrapolated, but unknown. Random
    arms are left out.

    Returns:
        arm, kind, edit_norm and kl (in full), fall_at_norm, fall_at_kl, norm_level, kl_level.
    """
    real = table[~table["kind"].isin(NULLS)]
    full = real[real["share"] == 1]
    working = full[full["fall_low"] > 0] if (full["fall_low"] > 0).any() else full
    levels = {name: float(working[name].min()) for name in ("edit_norm", "kl")}
    rows = []
    for (arm, kind), part in real.groupby(["arm", "kind"], sort=False):
        row = {"arm": arm, "kind": kind}
        for name, short in (("edit_norm", "norm"), ("kl", "kl")):
            by = part.sort_values(name)
            x, y = np.append(0, by[name]), np.append(0, by["fall"])
            fall = np.interp(levels[name], x, y, right=np.nan)
            row |= {name: float(x[-1]), f"fall_at_{short}": float(fall), f"{short}_level": levels[name]}
        rows.append(row)
    return pd.DataFrame(rows)


def sets_table(
    lm: LanguageModel, chosen: Sequence[Direction], mean: FloatArray, questions: Questions, tokens: Sequence[int]
) -> pd.DataFrame:
    """The whole set, the set without each member and without each method, and each member alone.

    Returns:
        part (`all`, `without`, `without group`, `alone`), name, rank, fall, low, high; and for what was left out loss,
        loss_low, loss_high: the fall that is missing without it, on the same questions. `verdict`: `needed` when the
        whole interval of the loss is above zero, `redundant` when it, or one of its group, does something alone and
        nothing is missing without it, else `no effect seen`.
    """
    cells = [("all", "all", list(chosen)), *(("alone", item.name, [item]) for item in chosen)]
    cells += [("without", item.name, [other for other in chosen if other is not item]) for item in chosen]
    methods = dict.fromkeys(item.method for item in chosen)
    cells += [("without group", each, [item for item in chosen if item.method != each]) for each in methods]
    cells = [cell for cell in cells if cell[2]]
    edits = [Arm(name, part, Eraser.mean_ablate(items, mean)).edits() for part, name, items in cells]
    fall, _ = falls(lm, edits, questions, tokens)
    text = questions.trace[questions.before]
    own, lost = cluster_means(fall.T, text), cluster_means((fall[0] - fall).T, text)
    rows = []
    for (part, name, items), mine, loss in zip(cells, own, lost, strict=True):
        row = {
            "part": part,
            "name": name,
            "members": len(items),
            "fall": mine.value,
            "low": mine.low,
            "high": mine.high,
        }
        if part.startswith("without"):
            row |= {"loss": loss.value, "loss_low": loss.low, "loss_high": loss.high}
        rows.append(row)
    table = pd.DataFrame(rows)
    return _with_verdicts(table, {item.name: item.method for item in chosen}) if "loss" in table else table


def _with_verdicts(table: pd.DataFrame, methods: Mapping[str, str]) -> pd.DataFrame:
    alone = table[table["part"] == "alone"].set_index("name")["low"].to_dict()
    groups = {method: max(alone[name] for name, own in methods.items() if own == method) for method in methods.values()}
    words = []
    for _, row in table.iterrows():
        if not str(row["part"]).startswith("without"):
            words.append("")
        elif row["loss_low"] > 0:
            words.append("needed")
        else:
            acts = (groups if row["part"] == "without group" else alone)[row["name"]] > 0
            words.append("redundant" if acts else "no effect seen")
    return table.assign(verdict=words)
