"""Decision rules for comparisons of a direction with baselines, and of the blocks of a model with each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from multidir.experiments.cells import fold_change
from multidir.experiments.deciding import would_decide
from multidir.records.outcome import Outcome
from multidir.records.verdict import Status, Verdict
from multidir.stats.estimate import Estimate
from multidir.types import FloatArray


def beats_baselines(
    mine: Sequence[Outcome], rivals: Mapping[str, Sequence[Outcome] | None], seed: int, draws: int
) -> Verdict:
    """Does the direction make more backtracking than every other way of pushing the model as hard?

    Args:
        mine: outcomes of the direction at the dose that a search on other problems chose.
        rivals: by name, those of each baseline at its best coherent dose on these very problems, which favours it;
            None where no dose left coherent text.
        seed: of the resampling.
        draws: resamples of problems.
    """
    found = {
        name: fold_change(mine, other, np.random.default_rng(seed), draws)
        for name, other in rivals.items()
        if other is not None
    }
    known = [item for item in found.values() if item.has_interval]
    if any(item.high < 1 for item in known):
        status = Status.REFUTED
    else:
        won = bool(found) and len(known) == len(found) and all(item.low > 1 for item in known)
        status = Status.SUPPORTED if won else Status.UNDETERMINED
    parts = [f"{name} " + ("unknown" if np.isnan(item.value) else f"{item:.1f}") for name, item in found.items()]
    silent = [name for name, other in rivals.items() if other is None]
    parts += [f"{', '.join(silent)} without a coherent dose"] * bool(silent)
    return Verdict(
        claim="The direction makes the reasoning model backtrack more than every baseline at its own best dose.",
        status=status,
        because=f"Backtracking along the direction over that of each baseline: {'; '.join(parts) or 'none measured'}.",
        rule="supported: every interval above 1; refuted: one below 1; otherwise undetermined; baselines without a "
        "coherent dose do not count",
        estimates=found,
        would_decide=would_decide(status, *((item, 1) for item in found.values()), ratio=True),
    )


def beats_null(own: Any, nulls: Mapping[str, FloatArray]) -> Verdict:
    """Does the direction make more backtracking than directions of equal norm that mean nothing?

    Args:
        own: the direction's row of the cells: backtrack_share, low, high, n_prompts.
        nulls: backtracking shares of the null directions at the same dose, by kind; unknown ones do not count.
    """
    known = {kind: values[np.isfinite(values)] for kind, values in nulls.items()}
    tops = [float(values.max()) for values in known.values() if len(values)]
    middles = [float(np.median(values)) for values in known.values() if len(values)]
    share = Estimate(
        own["backtrack_share"], own["low"], own["high"], int(own["n_prompts"]), "cluster bootstrap", "share"
    )
    if not tops or not share.has_interval:
        status = Status.UNDETERMINED
    elif share.low > max(tops):
        status = Status.SUPPORTED
    else:
        status = Status.REFUTED if share.value <= max(middles) else Status.UNDETERMINED
    parts = [
        f"{len(values)} {kind} {values.min():.1%} to {values.max():.1%}"
        for kind, values in known.items()
        if len(values)
    ]
    return Verdict(
        claim="The direction makes the reasoning model backtrack more than directions of equal norm that mean nothing.",
        status=status,
        because=f"Of its sentences {share.percent} backtrack; {'; '.join(parts) or 'no null was measured'}.",
        rule="supported: interval above the highest of them; refuted: value not above the median of a kind; otherwise "
        "undetermined",
        estimates={"share": share},
        would_decide=would_decide(status, *((share, top) for top in tops)),
    )


def steers_at_depth(
    inside: tuple[Any, Sequence[Outcome]] | None,
    outside: tuple[Any, Sequence[Outcome]] | None,
    depths: tuple[float, float],
    seed: int,
    draws: int,
) -> Verdict:
    """Do directions steer best at the depth where the paper steers?

    Args:
        inside: the best coherent cell whose block lies within `depths` (a row of the cells) and its outcomes; None
            when there is no coherent one.
        outside: the same for all other blocks.
        depths: shares of the model's depth, both ends included.
        seed: of the resampling.
        draws: resamples of problems.
    """
    words = []
    for name, cell in (("inside", inside), ("outside", outside)):
        row = None if cell is None else cell[0]
        words.append(
            f"{name} no coherent cell"
            if row is None
            else f"{name} {row['direction']} at {row['dose']:g}x {row['backtrack_share']:.1%}"
        )
    estimates, status = {}, Status.UNDETERMINED
    if inside is not None and outside is not None:
        found = estimates["ratio"] = fold_change(inside[1], outside[1], np.random.default_rng(seed), draws)
        if found.has_interval and found.low > 1:
            status = Status.SUPPORTED
        elif found.has_interval and found.high < 1:
            status = Status.REFUTED
        words.append(f"ratio {found:.2f}")
    return Verdict(
        claim=f"Directions steer best between {depths[0]:.0%} and {depths[1]:.0%} of the model's depth.",
        status=status,
        because=f"Backtracking, best coherent cells: {'; '.join(words)}. The paper names block 10 of 32.",
        rule="supported: interval of the ratio above 1; refuted: below 1; otherwise undetermined; both cells are "
        "chosen on these very problems",
        estimates=estimates,
        would_decide=would_decide(status, *((ratio, 1) for ratio in estimates.values()), ratio=True),
    )
