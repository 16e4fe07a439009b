"""A contest of learned mixtures with what they must beat, on texts and prompts that none of them has seen.

All contenders are brought to one p95 of the divergence elsewhere, and separately to one norm; what they gain on the
texts that they were chosen on stands beside what they gain on others, so that the winner's curse is seen.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from multidir.config import Compute
from multidir.errors import DesignError
from multidir.experiments.combination_cells import wait_tokens
from multidir.experiments.mixtures import Learner, Objective, Texts, as_directions, contenders, texts_of
from multidir.experiments.results import Results
from multidir.experiments.setup import read_norms
from multidir.models.language_model import LanguageModel
from multidir.models.load import load_model
from multidir.records.direction import Direction, DirectionSet
from multidir.records.intervention import Dose, Intervention
from multidir.records.pair import Pair
from multidir.records.site import Site
from multidir.records.text import Sentence, Trace
from multidir.records.verdict import Status, Verdict
from multidir.stats.bootstrap import draw_weights, percentile_estimate
from multidir.stats.estimate import Estimate
from multidir.steer.calibrate import calibrate
from multidir.steer.forced import teacher_forced
from multidir.store.directions import load_directions
from multidir.store.rows import read_rows
from multidir.types import FloatArray

RULE = "supported when the 95 % interval of the difference over held-out prompts lies above 0, refuted when below"


class MixtureScience(Protocol):
    """The settings of train/mixtures."""

    @property
    def names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def words(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def suppress(self) -> bool: ...  # noqa: D102
    @property
    def budget(self) -> float: ...  # noqa: D102
    @property
    def kl_price(self) -> float: ...  # noqa: D102
    @property
    def sparsities(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def texts(self) -> int: ...  # noqa: D102
    @property
    def steps(self) -> int: ...  # noqa: D102
    @property
    def rate(self) -> float: ...  # noqa: D102
    @property
    def held_out(self) -> float: ...  # noqa: D102
    @property
    def draws(self) -> int: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102


class Inputs(Protocol):
    """The settings of train/mixtures, with the inputs."""

    @property
    def traces(self) -> Path: ...  # noqa: D102
    @property
    def labels(self) -> Path: ...  # noqa: D102
    @property
    def directions(self) -> Path: ...  # noqa: D102
    @property
    def pair(self) -> Pair: ...  # noqa: D102
    @property
    def science(self) -> MixtureScience: ...  # noqa: D102
    @property
    def compute(self) -> Compute: ...  # noqa: D102


@dataclass(frozen=True)
class Learned:
    """What was learned, what it was compared with, and how that came out."""

    directions: DirectionSet
    """Contenders whose length is their dose at the budget."""
    results: Results


def mixture_results(inputs: Inputs) -> Learned:
    """Learn and compare, from run folders, on the reasoning model."""
    compute = inputs.compute
    lm = load_model(inputs.pair.source("reasoning"), "reasoning", compute.device, compute.dtype)
    directions = load_directions(inputs.directions / "directions.safetensors")
    norms = read_norms(inputs.directions / "norms.json", "reasoning")
    traces = read_rows(inputs.traces / "traces.jsonl", Trace)
    traces = traces[:: max(1, len(traces) // inputs.science.texts)][: inputs.science.texts]
    sentences = read_rows(inputs.labels / "sentences.jsonl", Sentence)
    return learn_mixtures(lm, directions, norms, traces, sentences, inputs.science, compute.batch_tokens)


def learn_mixtures(
    lm: LanguageModel,
    directions: DirectionSet,
    mean_norms: Mapping[Site, float],
    traces: Sequence[Trace],
    sentences: Sequence[Sentence],
    science: MixtureScience,
    batch_tokens: int,
) -> Learned:
    """Learn on some prompts, measure on the others.

    Args:
        lm: Whose texts they are, and whose next token is moved.
        directions: What is mixed.
        mean_norms: Mean residual norm by site: the length that a weight of 1 has.
        traces: Written texts.
        sentences: Their labelled sentences.
        science: Everything that changes numbers.
        batch_tokens: Tokens of a pass.
    Raises:
        DesignError: too few prompts to hold some out, no sentence of the behaviour, or nothing learned.
    """
    chosen = DirectionSet([directions[name] for name in science.names]) if science.names else directions
    site = next(iter(chosen)).site
    seen, held = split_prompts_of(traces, sentences, science.held_out, science.seed)
    objective = Objective(wait_tokens(lm, science.words), science.kl_price, science.suppress)
    learner = Learner(lm, seen, site, objective, batch_tokens)
    vectors = contenders(
        learner, chosen, mean_norms[site], science.sparsities, science.steps, science.rate, science.seed
    )
    items = as_directions(vectors, site)
    at_kl = at_budget(lm, items, seen, science.budget)
    norm = at_kl[0].dose.value
    at_norm = [Intervention(item, Dose(norm, "residual")) for item in items]
    found = {
        (matched, part): Measured.of(lm, edits, texts, objective, batch_tokens)
        for matched, edits in (("KL", at_kl), ("norm", at_norm))
        for part, texts in (("seen", seen), ("held out", held))
    }
    weights = draw_weights(len(found["KL", "held out"].prompts), science.draws, np.random.default_rng(science.seed))
    table = contest_table(items, at_kl, at_norm, found, weights)
    verdicts = decide(items, found, weights)
    sized = DirectionSet([replace(i, length=max(e.dose.value, 1e-12)) for i, e in zip(items, at_kl, strict=True)])
    tables = {"contest": table, "weights": weights_table(items, chosen)}
    return Learned(sized, Results(tables, verdicts[0].because, verdicts))


def split_prompts_of(
    traces: Sequence[Trace], sentences: Sequence[Sentence], held_out: float, seed: int
) -> tuple[Texts, Texts]:
    """Texts to learn from and texts to measure on, of different prompts.

    Raises:
        DesignError: one of the two would be empty.
    """
    names = sorted({trace.prompt_id for trace in traces})
    order = np.random.default_rng(seed).permutation(len(names))
    cut = round(held_out * len(names))
    if not 0 < cut < len(names):
        raise DesignError(f"{held_out:.0%} of {len(names)} prompts cannot be held out; give more traces")
    away = {names[i] for i in order[:cut]}
    parts = ([t for t in traces if t.prompt_id not in away], [t for t in traces if t.prompt_id in away])
    return texts_of(parts[0], sentences), texts_of(parts[1], sentences)


def at_budget(lm: LanguageModel, items: Sequence[Direction], texts: Texts, budget: float) -> list[Intervention]:
    """Every contender at the dose whose p95 divergence, at sentences that are not of the behaviour, is the budget."""
    elsewhere = [
        replace(context, at=tuple(p for p, is_site in zip(context.at, sites, strict=True) if not is_site))
        for context, sites in zip(texts.contexts, texts.sites, strict=True)
        if not sites.all()
    ]
    return calibrate(lm, [Intervention(item, Dose(budget, "kl")) for item in items], elsewhere)


@dataclass(frozen=True)
class Measured:
    """Gains of contenders at fixed doses on one set of texts."""

    prompts: tuple[str, ...]
    """With a site of the behaviour."""
    gains: FloatArray
    """(m, c) mean log-odds at the sites of each prompt, signed so that more is better, over unsteered."""
    p95: FloatArray
    """(c,) p95 of the divergence elsewhere, in nats."""

    @classmethod
    def of(
        cls, lm: LanguageModel, edits: Sequence[Intervention], texts: Texts, objective: Objective, batch_tokens: int
    ) -> Measured:
        """Read the texts once under every contender."""
        forced = teacher_forced(lm, texts.contexts, [None, *edits], objective.tokens, batch_tokens=batch_tokens)
        kl = np.concatenate([f.kl[1:, ~s] for f, s in zip(forced, texts.sites, strict=True)], axis=1)
        by_prompt: dict[str, list[FloatArray]] = {}
        for each, sites, name in zip(forced, texts.sites, texts.prompts, strict=True):
            if sites.any():
                by_prompt.setdefault(name, []).append((each.log_odds[1:, sites] - each.log_odds[0, sites]).mean(axis=1))
        gains = objective.sign * np.stack([np.mean(rows, axis=0) for rows in by_prompt.values()])
        return cls(tuple(by_prompt), gains, np.quantile(kl, 0.95, axis=1))

    def mean(self, column: int, weights: FloatArray, other: int | None = None) -> Estimate:
        """Mean gain over prompts, or its difference from another contender's."""
        values = self.gains[:, column] - (0.0 if other is None else self.gains[:, other])
        drawn = weights @ values / weights.sum(axis=1)
        return percentile_estimate(float(values.mean()), drawn, len(values), scale="log-odds")


def contest_table(
    items: Sequence[Direction],
    at_kl: Sequence[Intervention],
    at_norm: Sequence[Intervention],
    found: Mapping[tuple[str, str], Measured],
    weights: FloatArray,
) -> pd.DataFrame:
    """One row per contender and way of matching: gain where it was chosen and held out, divergence, norm."""
    rows: list[dict[str, Any]] = []
    for matched, edits in (("KL", at_kl), ("norm", at_norm)):
        seen, held = found[matched, "seen"], found[matched, "held out"]
        for i, item in enumerate(items):
            gain = held.mean(i, weights)
            facts = {"contender": item.name, "matched": matched, "norm": edits[i].dose.value}
            facts |= {"gain_seen": float(seen.gains[:, i].mean()), "gain": gain.value, "gain_low": gain.low}
            rows.append(facts | {"gain_high": gain.high, "p95_kl": held.p95[i], "n_prompts": gain.n})
    return pd.DataFrame(rows)


def weights_table(items: Sequence[Direction], directions: DirectionSet) -> pd.DataFrame:
    """Weights of the learned mixtures on the unit directions, each row of length 1: the sparse frontier."""
    units = directions.matrix()
    rows = []
    for item in items:
        if item.name.startswith("mixture"):
            w = np.linalg.lstsq(units.T, item.unit, rcond=None)[0]
            w = np.where(np.abs(w) < 1e-9, 0.0, w)
            rows.append(
                {"contender": item.name, "n_used": int((w != 0).sum()), **dict(zip(directions.names, w, strict=True))}
            )
    return pd.DataFrame(rows)


def decide(items: Sequence[Direction], found: Mapping[tuple[str, str], Measured], weights: FloatArray) -> list[Verdict]:
    """The mixture against its strongest rivals, at equal divergence on held-out prompts."""
    seen, held = found["KL", "seen"].gains.mean(axis=0), found["KL", "held out"]
    names = [item.name for item in items]
    singles = [i for i, name in enumerate(names) if name.startswith("single ")]
    best = max(singles, key=lambda i: seen[i])
    rivals = {"the best single direction": best, "the linear read-out optimum": names.index("linear read-out")}
    verdicts = []
    for words, rival in rivals.items():
        gap = held.mean(0, weights, rival)
        status = Status.SUPPORTED if gap.low > 0 else Status.REFUTED if gap.high < 0 else Status.UNDETERMINED
        curse = f"It gains {held.mean(0, weights).value:+.2f} there and {seen[0]:+.2f} where it was learned."
        verdicts.append(
            Verdict(
                claim=f"The learned mixture does more than {words} ({names[rival]}) at equal p95 divergence.",
                status=status,
                because=(
                    f"At equal p95 divergence the learned mixture moves the log-odds by {gap.value:+.2f} "
                    f"[{gap.low:.2f}, {gap.high:.2f}] more than {words} on {gap.n} held-out prompts. {curse} "
                    "More than a single direction is no synergy: that would be more than the linear read-out."
                ),
                rule=RULE,
                estimates={"difference": gap},
            )
        )
    return verdicts
