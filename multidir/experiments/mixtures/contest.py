"""The contest: every contender at one divergence elsewhere, and at one norm, where it was chosen and elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from multidir.experiments.mixtures.bank import Space
from multidir.experiments.mixtures.contenders import Contender
from multidir.experiments.mixtures.learn import Objective, Texts
from multidir.experiments.mixtures.whole import Matched, WholeContest
from multidir.models.forced import Context
from multidir.models.language_model import LanguageModel
from multidir.records.intervention import Intervention
from multidir.stats.bootstrap import percentile_estimate
from multidir.stats.estimate import Estimate
from multidir.steer.calibrate import meet_budgets
from multidir.steer.forced import teacher_forced
from multidir.types import FloatArray

FIRST = 0.1
"""Length, in mean residual norms, that calibration begins with."""


def frontier_table(contest: pd.DataFrame) -> pd.DataFrame:
    """The mixtures by their number of directions, at one divergence, with the best single and the free vector.

    The best single is the one that did best where it was chosen. Empty where all mixtures use all directions.
    """
    at_kl = contest[contest["matched"] == "KL"]
    mixed = at_kl[at_kl["kind"].isin(["mixture", "path"])].sort_values("n_used")
    if len(mixed) < 2:
        return mixed.head(0)
    single = at_kl[at_kl["kind"] == "single"].sort_values("gain_seen").tail(1)
    return pd.concat([mixed, single, at_kl[at_kl["kind"] == "free"]], ignore_index=True)


def elsewhere(texts: Texts) -> list[Context]:
    """The texts, asked only where a sentence of something else begins."""
    return [
        replace(context, at=tuple(p for p, is_site in zip(context.at, sites, strict=True) if not is_site))
        for context, sites in zip(texts.contexts, texts.sites, strict=True)
        if not sites.all()
    ]


def norms_at(
    lm: LanguageModel, space: Space, vectors: Sequence[FloatArray], budgets: Sequence[float], texts: Texts
) -> list[float]:
    """Length of each vector, in mean residual norms, at which the p95 divergence elsewhere is its budget.

    Raises:
        ConfigError: a budget that no length meets.
    """
    edits = [space.edits("mixture", vector, FIRST) for vector in vectors]
    return [FIRST * factor for factor in meet_budgets(lm, edits, budgets, elsewhere(texts))]


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
        cls,
        lm: LanguageModel,
        edits: Sequence[Sequence[Intervention]],
        texts: Texts,
        objective: Objective,
        batch_tokens: int,
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


@dataclass(frozen=True, eq=False)
class Contest:
    """Everything that was measured of the contenders."""

    contenders: tuple[Contender, ...]
    norms: Mapping[Matched, tuple[float, ...]]
    """Length of each, in mean residual norms, by what they are matched in."""
    seen: Mapping[Matched, Measured]
    """On the texts that they were chosen on."""
    held: Mapping[Matched, Measured]
    """On texts of other prompts."""
    weights: FloatArray
    """(draws, m) how often each prompt of the held-out texts is in a resample."""
    whole: WholeContest | None = None

    def place(self, name: str) -> int:
        """Number of a contender."""
        return [each.name for each in self.contenders].index(name)

    def table(self) -> pd.DataFrame:
        """One row per contender and way of matching."""
        return pd.DataFrame([self._row(i, matched) for matched in self.norms for i in range(len(self.contenders))])

    def _row(self, i: int, matched: Matched) -> dict[str, Any]:
        one, held = self.contenders[i], self.held[matched]
        gain = held.mean(i, self.weights)
        facts = {"contender": one.name, "kind": one.kind, "n_used": one.n_used, "matched": matched}
        facts |= {"norm": self.norms[matched][i], "p95_kl": held.p95[i]}
        facts |= {"gain_seen": float(self.seen[matched].gains[:, i].mean()), "gain": gain.value}
        return {**facts, "gain_low": gain.low, "gain_high": gain.high, "n_prompts": gain.n}
