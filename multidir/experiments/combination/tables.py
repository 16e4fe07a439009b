"""The tables of a combination run: pairs, ladders, Moebius coefficients, controls and cells."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit

from multidir.experiments.combination.pair_axes import resample
from multidir.experiments.combination.pair_reading import dose_axis, log_odds_axis
from multidir.experiments.combination.rules import CombinationRules
from multidir.experiments.combination.verdicts import Combined
from multidir.records.combination import State
from multidir.stats.bootstrap import percentile_estimate
from multidir.stats.contrast import holm
from multidir.stats.estimate import Estimate
from multidir.stats.indices import INDICES, index_weights
from multidir.stats.ladder import monotone


def pairs_table(found: Combined, rules: CombinationRules) -> pd.DataFrame:
    """One row per pair: both axes, the other scales, the verdict."""
    rows = []
    for result in found.pairs:
        item, axes = result.evidence, result.evidence.axes
        states = {state: [c.name for c in result.controls if c.state is state] for state in State}
        rows.append(
            {
                "first": found.tally.directions[item.pair[0]],
                "second": found.tally.directions[item.pair[1]],
                "verdict": result.label.value,
                "reading": result.reading.value,
                "log_odds": log_odds_axis(item, rules).value,
                "doses": dose_axis(axes, rules).value,
                **columns("delta", item.delta.estimate()),
                "p_adjusted": item.p_claim,
                **columns("exponent", axes.exponent),
                "norm_exponent": item.norm_exponent,
                "multiple_first": axes.multiples[0],
                "multiple_second": axes.multiples[1],
                **columns("bliss", axes.hazard),
                **columns("share_interaction", axes.share),
                "scale_robust": item.scale_robust,
                **columns("over_best", axes.over_best),
                "loop_difference": axes.loops.value,
                "coherent_share": axes.coherent,
                "n_prompts": item.delta.n,
                **{state.value.replace(" ", "_"): ", ".join(names) for state, names in states.items()},
            }
        )
    return pd.DataFrame(rows)


def ladders_table(found: Combined) -> pd.DataFrame:
    """The ladders of every pair with the pair's own level and the multiple it equals.

    One row per rung (`part` first or second) and one for the pair (`part` pair, its multiple is 2^(1/p)).
    """
    rows: list[dict[str, Any]] = []
    for result in found.pairs:
        i, j = result.evidence.pair
        both, ladders = found.layout.cell(i, j), (found.layout.ladders[i], found.layout.ladders[j])
        if both is None or ladders[0] is None or ladders[1] is None:
            continue
        pair = {"first": found.tally.directions[i], "second": found.tally.directions[j]}
        axes = result.evidence.axes
        ends = [2.0**e for e in (axes.exponent.value, axes.exponent.low, axes.exponent.high)]
        rows.append(
            {**pair, "verdict": result.label.value, "part": "pair", **_rate(found, [both], 0)}
            | {"multiple": ends[0], "multiple_low": ends[1], "multiple_high": ends[2]}
        )
        for part, ladder in zip(("first", "second"), ladders, strict=True):
            if ladder is None:
                continue
            cells = [int(c) for c in ladder.cells]
            for place, rung in enumerate(ladder.rungs):
                rate = _rate(found, cells, place)
                rows.append({**pair, "verdict": result.label.value, "part": part, **rate, "multiple": float(rung)})
    names = ["first", "second", "verdict", "part", "multiple", "multiple_low", "multiple_high"]
    return pd.DataFrame(rows, columns=[*names, "share", "share_low", "share_high", "fitted"])


def _rate(found: Combined, cells: list[int], place: int) -> dict[str, float]:
    """Share of one of some cells, its interval, and where the monotone curve through them lies."""
    n = found.tally.n[:, cells]
    drawn = resample(found.tally.y[:, cells] / np.maximum(n, 1), n, found.weights)
    share = percentile_estimate(float(drawn.rates[0, place]), drawn.rates[1:, place], drawn.n)
    y, counts = drawn.counts(range(len(cells)))
    fitted = float(expit(monotone(y[:1], counts[:1])[0, place]))
    return {**columns("share", share), "fitted": fitted}


def moebius_table(found: Combined) -> pd.DataFrame:
    """Every set of directions with its Moebius coefficient, interval and the other indices made from the same fit.

    Of sets of three and more the p-values are Holm-adjusted, and only given when the omnibus test rejects.
    """
    fit = found.fit.full if found.fit.full is not None else found.fit.averaged
    members = found.fit.columns[: len(fit.beta)]
    saturated = found.fit.full is not None
    higher = [i for i, term in enumerate(members) if len(term) > 2]
    p = np.full(len(members), np.nan)
    if found.fit.others_off:
        p[higher] = holm(np.array([fit.coefficient(i).p_beyond(0.0) for i in higher]))
    weights = {name: index_weights(name, members) for name in INDICES if name != "moebius"}
    rows = []
    for i, term in enumerate(members):
        others = {f"{name}": fit.contrast(w[i]).value if saturated else math.nan for name, w in weights.items()}
        rows.append(
            {
                "set": " + ".join(found.tally.directions[d] for d in term),
                "order": len(term),
                **columns("moebius", fit.coefficient(i).estimate()),
                **others,
                "p_adjusted": p[i],
            }
        )
    return pd.DataFrame(rows)


def controls_table(found: Combined) -> pd.DataFrame:
    """One row per control, with the pairs that it belongs to."""
    rows: dict[tuple[str, str, str], list[str]] = {}
    for result in found.pairs:
        pair = " + ".join(found.tally.directions[d] for d in result.evidence.pair)
        for c in result.controls:
            rows.setdefault((c.name, c.state.value, c.because), []).append(pair)
    everyone = len(found.pairs)
    return pd.DataFrame(
        [
            {"control": name, "state": state, "because": because}
            | {"pairs": "all" if len(pairs) == everyone else ", ".join(pairs)}
            for (name, state, because), pairs in rows.items()
        ]
    )


def cells_table(found: Combined) -> pd.DataFrame:
    """One row per cell, controls included, with its share of backtracking sentences."""
    return pd.DataFrame(list(_cells(found)))


def _cells(found: Combined) -> Iterator[dict[str, Any]]:
    tally = found.tally
    for i, control in enumerate(tally.controls):
        rollouts = tally.rollouts[:, i].sum()
        yield {
            "cell": tally.name(i),
            "control": control,
            **{f"dose_{name}": dose for name, dose in zip(tally.directions, tally.doses[i], strict=True)},
            **{key: value for key, value in _rate(found, [i], 0).items() if key != "fitted"},
            "n_prompts": int((tally.n[:, i] > 0).sum()),
            "n_rollouts": int(rollouts),
            "n_sentences": int(tally.n[:, i].sum()),
            "n_backtracks": int(tally.y[:, i].sum()),
            "loop_share": math.nan if tally.loops is None else float(tally.loops[:, i].sum() / rollouts),
        }


def columns(name: str, estimate: Estimate) -> dict[str, float]:
    """A number and its interval as three columns."""
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
