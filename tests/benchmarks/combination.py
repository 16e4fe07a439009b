"""Does the verdict on combinations keep its promises? False claims, power, coverage, labels, and equality with peers.

    python -m tests.benchmarks.combination [--quick] [--json]

Every world is simulated with prompts that differ, directions that work better on some of them, overdispersed
rollouts and loops, on seeds that no threshold was chosen on. --quick has a tenth of the studies and tells little more
than that everything runs. pyfixest is installed into an environment of its own below ~/.cache/multidir; statsmodels is
among the development packages.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import venv
from collections import Counter
from pathlib import Path

import numpy as np
import statsmodels.api as sm

from multidir.experiments.combination.mechanisms import Mechanism
from multidir.experiments.combination.verdicts import combine
from multidir.experiments.power.simulate import LADDER_SPREAD, World, simulate
from multidir.records.combination import Combination
from multidir.stats.factorial import design, model_matrix, terms
from multidir.stats.fixed_effect import LogitFit, fit_logit
from multidir.stats.proportions import wilson
from multidir.types import FloatArray
from tests.benchmarks import combination_worlds as worlds
from tests.benchmarks.measure import Row, arguments, interleaved, note, ratio, seconds, show

PYFIXEST = "pyfixest==0.60.0"
Counts = tuple[FloatArray, FloatArray, FloatArray]


def false_claims(sizes: tuple[tuple[int, int], ...], runs: int) -> tuple[list[Row], list[worlds.AxisOne]]:
    """Family-wise false claims of every null at its worst size, and what else the factorials counted."""
    rows, counts = [], []
    for world in worlds.FACTORIAL_WORLDS:
        found = {}
        for m, r in sizes:
            count = worlds.axis_one(world, m, r, runs)
            counts.append(count)
            found[m, r] = count.families
            note(f"  {world.name} {m}x{r}: {_words(count)}")
        rows += _worst(f"false_claims.{world.name}", found, runs)
    for key, (name, shift) in enumerate(worlds.LADDER_NULLS.items()):
        found = {}
        for m, r in sizes:
            verdicts = list(worlds.labels(shift, m, r, runs, 20 + key))
            found[m, r] = sum(bool({Combination.SYNERGY, Combination.ANTAGONISM}.intersection(v)) for v in verdicts)
            first = Counter(labels[0].value for labels in verdicts)
            note(f"  {name} {m}x{r}: {found[m, r]} false, " + ", ".join(f"{k} {n}" for k, n in first.items()))
        rows += _worst(f"false_claims.{name}", found, runs)
    return rows, counts


def _worst(name: str, found: dict[tuple[int, int], int], runs: int) -> list[Row]:
    (m, r), claims = max(found.items(), key=lambda item: item[1])
    against = f"worst of {len(found)} sizes: {m} prompts x {r} rollouts"
    upper = wilson(claims, runs).high
    return [
        Row(name, claims / runs, "share", against, runs, at_most=0.05),
        Row(f"{name}.upper", upper, "share", "upper end of its 95 % interval", runs, at_most=0.07),
    ]


def _words(count: worlds.AxisOne) -> str:
    power = f", power {count.claimed / count.planted:.3f}" if count.planted else ""
    covered = count.covered / count.intervals
    return (
        f"false families {count.families / count.runs:.3f}{power}, accepted {count.accepted / count.nulls:.3f}, "
        f"coverage {covered:.3f}, others off {count.switched / count.runs:.3f}"
    )


def at_100_by_4(runs: int) -> list[Row]:
    """Power and acceptance at the protocol's size."""
    plain, planted = (worlds.axis_one(world, 100, 4, runs) for world in worlds.FACTORIAL_WORLDS[:2])
    nulls, size = plain.nulls + planted.nulls, "K = 4, 100 prompts x 4 rollouts"
    accepted = (plain.accepted + planted.accepted) / nulls
    return [
        Row("power.0.6", planted.claimed / planted.planted, "share", f"planted +-0.6, {size}", planted.planted, 0.95),
        Row("accepted.null_pairs", accepted, "share", f"TOST 0.3, {size}", nulls, 0.9),
    ]


def coverage(counts: list[worlds.AxisOne], sizes: tuple[tuple[int, int], ...], runs: int) -> list[Row]:
    """Lowest and highest coverage of the 95 % intervals of delta and of 1/p."""
    delta = [count.covered / count.intervals for count in counts]
    n, limit = counts[0].intervals, "the planted mean over prompts; worlds and sizes above"
    rows = [
        Row("coverage.delta.lowest", min(delta), "share", limit, n, 0.93),
        Row("coverage.delta.highest", max(delta), "share", limit, n, at_most=0.97),
    ]
    found = []
    for name in worlds.EXPONENTS:
        for m, r in sizes:
            hits, truth = worlds.exponent_coverage(name, m, r, runs)
            found.append(hits / runs)
            note(f"  {name} {m}x{r}: coverage {found[-1]:.3f} of {truth:.3f}")
    against = f"{len(worlds.EXPONENTS)} curves x {len(sizes)} sizes"
    return [
        *rows,
        Row("coverage.exponent.lowest", min(found), "share", against, runs, 0.90),
        Row("coverage.exponent.highest", max(found), "share", against, runs, at_most=0.98),
    ]


def joint_labels(runs: int) -> list[Row]:
    """Right and wrong labels over the eight mechanisms, by the whole pipeline with its controls."""
    found = worlds.confusion(100, 4, runs, note)
    right = {m: count[m.label] / runs for m, count in found.items()}
    wrong = sum(_wrong(m, count) for m, count in found.items()) / (runs * len(found))
    least = min(right, key=lambda m: right[m])
    size = "2^4 and ladders, 100 prompts x 4 rollouts"
    return [
        Row("labels.right.mean", float(np.mean(list(right.values()))), "share", f"8 mechanisms, {size}", runs, 0.9),
        Row("labels.right.lowest", right[least], "share", least.name, runs, 0.75),
        Row("labels.wrong_claims", wrong, "share", f"8 mechanisms, {size}", runs * len(found), at_most=0.03),
    ]


def _wrong(mechanism: Mechanism, count: Counter[Combination]) -> int:
    return sum(n for label, n in count.items() if label.is_claim and label is not mechanism.label)


def shams(sizes: tuple[tuple[int, int], ...], runs: int) -> list[Row]:
    """A direction paired with itself must not be synergy."""
    found = {}
    for h, off in worlds.SHAMS:
        for m, r in sizes:
            found[h, off, m, r] = worlds.sham_synergies(h, off, m, r, runs)
            note(f"  sham pair, Hill {h:g}, dose off by {off:+.0%}, {m}x{r}: {found[h, off, m, r]} of {runs} synergy")
    (h, off, m, r), most = max(found.items(), key=lambda item: item[1])
    against = f"worst: Hill {h:g}, dose off by {off:+.0%}, {m} prompts x {r} rollouts"
    total = runs * len(found)
    mean = sum(found.values()) / total
    return [
        Row("sham.synergy.mean", mean, "share", f"{len(found)} curves, errors and sizes", total, at_most=0.02),
        Row("sham.synergy.worst", most / runs, "share", against, runs, at_most=0.02),
    ]


def table_of_counts(rng: np.random.Generator) -> Counts:
    """100 prompts x 16 cells, 4 rollouts each: backtracks, sentences and the columns of the pair model."""
    world = World(worlds.EFFECTS)
    tally = simulate(world, worlds.FACTORIAL, 100, 4, rng)
    return tally.y, tally.n, model_matrix(design(4), terms(4, 2))


def with_dummies(counts: Counts) -> sm.GLM:
    """The same model in statsmodels, one dummy per prompt."""
    y, n, x = counts
    told = (y.sum(axis=1) > 0) & (y.sum(axis=1) < n.sum(axis=1))
    y, n = y[told], n[told]
    columns = np.column_stack([np.tile(x, (len(y), 1)), np.kron(np.eye(len(y)), np.ones((len(x), 1)))])
    return sm.GLM(np.column_stack([y.ravel(), (n - y).ravel()]), columns, family=sm.families.Binomial())


def equality_and_speed(rounds: int) -> list[Row]:
    """Differences from statsmodels and pyfixest, and how much faster the fit is."""
    counts = table_of_counts(np.random.default_rng(worlds.CONFIRM))
    ours: LogitFit = fit_logit(*counts)
    model = with_dummies(counts)
    theirs = model.fit(tol=1e-13).params[: len(ours.beta)]
    peer = pyfixest_fit(counts, rounds)
    errors = np.sqrt((ours.spread**2).sum(axis=0))
    size = "100 prompts x 16 cells"
    taken = interleaved({"ours": lambda: _ten(counts), "statsmodels": lambda: model.fit(tol=1e-10)}, rounds)
    fast = float(np.median(taken["ours"])) / 10
    dummies, peers = 10 * ratio(taken["statsmodels"], taken["ours"]), float(np.median(peer["seconds"])) / fast
    difference = float(np.abs(ours.beta - peer["beta"]).max())
    error = float(np.abs(errors / peer["error"] - 1).max())
    gap = float(np.abs(ours.beta - theirs).max())
    return [
        Row("logit.estimate.statsmodels", gap, "log-odds", f"GLM with dummies, {size}", 10, at_most=1e-6),
        Row("logit.estimate.pyfixest", difference, "log-odds", f"{PYFIXEST} feglm, {size}", 10, at_most=1e-6),
        Row("logit.error.pyfixest", error, "relative", f"{PYFIXEST} CRV1, {size}", 10, at_most=1e-3),
        Row("logit.speed.statsmodels", dummies, "x", "GLM with dummies on counts", rounds, 20),
        Row("logit.speed.pyfixest", peers, "x", "CPU seconds of its fit on sentences", rounds, 20),
        Row("logit.milliseconds", 1000 * fast, "ms", size, rounds),
    ]


def _ten(counts: Counts) -> None:
    for _ in range(10):
        fit_logit(*counts)


def pyfixest_fit(counts: Counts, rounds: int) -> dict[str, FloatArray]:
    """Coefficients, standard errors and seconds of pyfixest, from an environment of its own."""
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "multidir" / PYFIXEST.replace("==", "-")
    python = home / "bin" / "python"
    if not python.is_file():
        note(f"  installing {PYFIXEST} into {home}")
        venv.create(home, with_pip=True)
    if subprocess.run([python, "-c", "import pyfixest"], capture_output=True).returncode:
        subprocess.run([python, "-m", "pip", "install", "--quiet", PYFIXEST], check=True, capture_output=True)
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "counts.npz"), Path(folder, "fit.npz")
        np.savez(source, y=counts[0], n=counts[1], x=counts[2])
        one = {**os.environ, **dict.fromkeys(("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "RAYON_NUM_THREADS"), "1")}
        one.pop("PYTHONPATH", None)
        script = Path(__file__).with_name("pyfixest_peer.py")
        subprocess.run([python, script, source, result, str(rounds)], check=True, capture_output=True, env=one)
        return dict(np.load(result))


def whole_analysis(rounds: int) -> list[Row]:
    """The whole analysis with 2000 draws, against 2000 resampled statsmodels fits (a few of them, scaled)."""
    world = World((0.0, 0.0, 0.7, 0.5), mechanism=worlds.pooled, spread=LADDER_SPREAD)
    tally = simulate(world, worlds.FULL, 100, 4, np.random.default_rng(worlds.CONFIRM))
    settings = worlds.Settings(draws=2000, shuffles=100)
    own = float(np.median([seconds(lambda: combine(tally, settings)) for _ in range(rounds)]))
    model = with_dummies(table_of_counts(np.random.default_rng(worlds.CONFIRM)))
    loop = 2000 * float(np.median([seconds(lambda: model.fit(tol=1e-8)) for _ in range(max(rounds, 3))]))
    about = "2^4, ladders, 20 random pairs, 100 x 4, 2000 draws, 100 shuffles"
    return [
        Row("analysis.seconds", own, "s", about, rounds, at_most=5.0),
        Row("analysis.against_statsmodels_loop", loop / own, "x", "2000 resampled GLM fits, scaled up", rounds),
    ]


def main() -> None:
    options = arguments(__doc__ or "")
    start = time.monotonic()
    runs, rounds = (30, 3) if options.quick else (400, 7)
    sizes = ((30, 1), (100, 4)) if options.quick else worlds.SIZES
    rows = joint_labels(runs)
    rows += at_100_by_4(runs)
    claims, counts = false_claims(sizes, runs)
    rows += claims
    rows += coverage(counts, ((100, 4),) if options.quick else ((30, 4), (100, 1), (100, 4)), runs)
    rows += shams(((100, 4),) if options.quick else ((30, 4), (100, 4)), runs)
    rows += equality_and_speed(rounds)
    rows += whole_analysis(rounds)
    note(f"{time.monotonic() - start:.0f} s")
    show("Verdicts on combinations, simulated", rows, options.json)


if __name__ == "__main__":
    sys.exit(main())
