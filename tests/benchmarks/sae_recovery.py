"""Do dictionaries find the features that synthetic rows are made of? Ours and SAELens' trainer on the same rows.

The rows are SAELens' own synthetic model with a hierarchy and correlated features; MCC is the mean absolute cosine of
the best one-to-one matching with the true features.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator

import numpy as np
import torch

from multidir.sae.learner import Learner
from multidir.sae.matching import match
from multidir.sae.spec import DictionarySpec, Training
from multidir.stats.clustered import cluster_means
from tests.benchmarks.measure import Row, note

D, FEATURES, BATCH = 128, 512, 1024


def rows_of(seed: int, batches: int) -> tuple[torch.Tensor, torch.Tensor, float]:
    """(n, D) rows of mean norm sqrt(D), (FEATURES, D) true features, and how many are active per row."""
    from sae_lens.synthetic import (
        HierarchyConfig,
        LowRankCorrelationConfig,
        SyntheticModel,
        SyntheticModelConfig,
        ZipfianFiringProbabilityConfig,
    )

    model = SyntheticModel(
        SyntheticModelConfig(
            FEATURES,
            D,
            firing_probability=ZipfianFiringProbabilityConfig(),
            hierarchy=HierarchyConfig(24, branching_factor=4, max_depth=2, compensate_probabilities=True),
            correlation=LowRankCorrelationConfig(rank=16, correlation_scale=0.1),
            std_firing_magnitudes=0.3,
            seed=seed,
        )
    )
    torch.manual_seed(seed)
    with torch.no_grad():
        active = float((model.activation_generator(BATCH) > 0).sum() / BATCH)
        rows = torch.cat([model.sample(BATCH) for _ in range(batches)])
    return rows * (D**0.5 / rows.norm(dim=1).mean()), model.feature_dict.feature_vectors.detach(), active


def epochs(rows: torch.Tensor, steps: int) -> Iterator[torch.Tensor]:
    """Batches in order, over and over, exactly `steps` of them."""
    per_pass = len(rows) // BATCH
    for step in range(steps):
        at = step % per_pass * BATCH
        yield rows[at : at + BATCH]


def recovery(quick: bool) -> Iterator[Row]:
    """MCC of both trainers over seeds, at equal tokens."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from multidir.sae.lens_backend import train_with_saelens
    seeds, batches, steps = (3, 60, 300) if quick else (5, 200, 1500)
    for arch in ("topk", "batchtopk"):
        ours, theirs = [], []
        for seed in range(seeds):
            rows, truth, active = rows_of(seed, batches)
            spec = DictionarySpec(arch, D, FEATURES, max(1, round(active)), seed)  # type: ignore[arg-type]
            training = Training(steps=steps, batch=BATCH, lr=3e-3, warmup=20, dead_after=50_000)
            learner = Learner(spec, training, rows[:8192], rows[:8192].mean(0))
            for batch in epochs(rows, steps):
                learner.step(batch)
            with contextlib.redirect_stderr(io.StringIO()):  # its progress bar
                peer = train_with_saelens(spec, training, epochs(rows, steps), {})
            ours.append(match(learner.weights.dec.detach(), truth).mcc)
            theirs.append(match(peer.dec.detach(), truth).mcc)
            note(f"  {arch}, seed {seed}, k {spec.k}: MCC {ours[-1]:.3f}, SAELens {theirs[-1]:.3f}")
        gain = np.array(ours) - np.array(theirs)
        (found,) = cluster_means(gain[:, None], np.arange(seeds))
        tokens = f"{steps * BATCH:,} tokens, {seeds} seeds"
        yield Row(f"{arch} MCC with the true features", float(np.mean(ours)), "cosine", tokens, seeds)
        interval = f"[{found.low:.3f}, {found.high:.3f}]"
        yield Row(
            f"{arch} MCC, ours minus theirs", found.value, "cosine", f"sae_lens, interval {interval}", seeds, at_least=0
        )
