"""Logistic probes of one place: the batched solver beside a loop over scikit-learn, and what intervals promise.

    python -m tests.benchmarks.probes [--quick] [--json]

Both sides do the same nested cross-validation (five folds, their ten pairs, all rows) at five penalties, in float32 on
one thread, and score all rows. The loop is what a careful user writes: one StandardScaler per training set, then
LogisticRegression for every penalty; it is long, so it runs every fifth training set and its time is scaled up. Rows
are made with the spectrum of a residual stream. --quick has a fifth of the rows and of the simulations.
"""

from __future__ import annotations

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import StandardScaler

from multidir.methods.probe_folds import grouped_folds
from multidir.methods.probe_logistic import fit_logistic
from multidir.methods.probe_nested import nested
from multidir.stats.bootstrap import both_roles
from multidir.stats.estimate import Estimate
from multidir.stats.ranking import auroc_estimate
from multidir.types import BoolArray, FloatArray, IntArray
from tests.benchmarks.measure import Row, arguments, interleaved, note, ratio, show

PENALTIES = np.array([1e-4, 1e-3, 1e-2, 1e-1, 1.0])
EVERY = 5


def made_rows(n: int, d: int = 576, groups: int = 300) -> tuple[FloatArray, BoolArray, IntArray]:
    """Prompts with effects of their own, variance that falls as 1 / rank, loud channels, and 4 % positives."""
    rng = np.random.default_rng(0)
    group = rng.integers(0, groups, n)
    axes = np.linalg.qr(rng.normal(size=(d, d)))[0] * (1 + np.arange(d))[:, None] ** -0.5
    hidden = rng.normal(size=(n, d)) + 0.5 * rng.normal(size=(groups, d))[group]
    logits = hidden[:, :40] @ rng.normal(size=40) / 6 - 3.7
    x = hidden @ axes * np.exp(rng.normal(size=d)) + rng.normal(size=d)
    return x.astype(np.float32), rng.random(n) < 1 / (1 + np.exp(-logits)), group


def speed(n: int, rounds: int) -> list[Row]:
    """How many times faster than the loop, and how far held-out AUROCs lie apart."""
    x, y, group = made_rows(n)
    train = grouped_folds(y, group, 5, np.random.default_rng(0)).training_sets()
    found: dict[str, FloatArray] = {}

    def batched() -> None:
        found["batched"] = fit_logistic(x[None], y, train, PENALTIES).scores(x)[0]

    def loop() -> None:
        found["loop"] = np.stack([looped(x, y, rows) for rows in train.T[::EVERY]], axis=1)

    taken = interleaved({"batched": batched, "a part of the loop": loop}, rounds)
    part = train.shape[1] / found["loop"].shape[1]
    gaps = []
    for s, rows in enumerate(train.T[::EVERY]):
        test = rows if rows.all() else ~rows
        for c in range(len(PENALTIES)):
            pair = found["batched"][test, s * EVERY, c], found["loop"][test, s, c]
            gaps.append(abs(roc_auc_score(y[test], pair[0]) - roc_auc_score(y[test], pair[1])))
    against = f"loop over scikit-learn, {n} rows, d=576, {train.shape[1] * len(PENALTIES)} probes"
    seconds = float(np.median(taken["batched"]))
    gain = ratio(taken["a part of the loop"], taken["batched"], part)
    return [
        Row("probes.times_faster", gain, "x", against, rounds, at_least=10),
        Row("probes.seconds_of_one_place", seconds, "CPU s", "one thread", rounds),
        Row("probes.largest_auroc_gap", max(gaps), "AUROC", against, len(gaps), at_most=0.002),
    ]


def looped(x: FloatArray, y: BoolArray, train: BoolArray) -> FloatArray:
    """(n, c) scores of all rows by scikit-learn's probes of one training set."""
    scaler = StandardScaler().fit(x[train])
    rows, everything = scaler.transform(x[train]), scaler.transform(x)
    fits = [LogisticRegression(C=c, max_iter=1000).fit(rows, y[train]) for c in PENALTIES]
    return np.stack([fit.decision_function(everything) for fit in fits], axis=1)


def coverage(runs: int, prompts: int, d: int) -> list[Row]:
    """How often the 95 % interval of a nested AUROC covers 0.5 when labels are shuffled; 93 to 97 % is promised."""
    covered = []
    for seed in range(runs):
        covered.append(not shuffled_estimate(seed, prompts, d=d).excludes(0.5))
        if (seed + 1) % 100 == 0:
            note(f"  {seed + 1} of {runs} shuffles: {np.mean(covered):.1%} cover 0.5")
    share = float(np.mean(covered))
    against = f"0.5, labels shuffled over {prompts} prompts of 12 sentences, d={d}"
    return [
        Row(f"probes.coverage_at_least.{prompts}_prompts", share, "share", against, runs, at_least=0.93),
        Row(f"probes.coverage_at_most.{prompts}_prompts", share, "share", against, runs, at_most=0.97),
    ]


def shuffled_estimate(seed: int, prompts: int = 60, per: int = 12, d: int = 10) -> Estimate:
    """The whole nested estimate on rows with prompt effects, and labels that are shuffled over all rows."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(prompts), per)
    x = (rng.normal(size=(prompts, d))[group] + rng.normal(size=(prompts * per, d))).astype(np.float32)
    y = rng.permutation(np.arange(prompts * per) < 0.12 * prompts * per)
    folds = grouped_folds(y, group, 5, rng)
    scores = fit_logistic(x[None], y, folds.training_sets(), np.array([1e-2, 1.0])).scores(x)[0]
    return both_roles(auroc_estimate(nested(scores, y, folds).score, y, group, rng, 500, strata=folds.fold), 0, 1)


def main() -> None:
    options = arguments(__doc__ or "")
    found = speed(20_000 if options.quick else 100_000, 1 if options.quick else 3)
    for prompts, d in ((60, 10), (120, 30)):
        found += coverage(200 if options.quick else 1000, prompts, d)
    show("Logistic probes", found, options.json)


if __name__ == "__main__":
    main()
