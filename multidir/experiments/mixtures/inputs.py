"""What a contest of mixtures starts from: settings, texts of disjoint prompts, and problems that nobody has seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from multidir.config import Compute
from multidir.errors import ConfigError, DesignError
from multidir.experiments.corpus.traces import rendered_for
from multidir.experiments.mixtures.bank import Bank, Space
from multidir.experiments.mixtures.learn import Objective, Texts, texts_of
from multidir.experiments.mixtures.search import require_cmaes
from multidir.experiments.mixtures.settings import Learning, Whole
from multidir.experiments.protocol.cells import wait_tokens
from multidir.experiments.protocol.inputs import spread_out
from multidir.experiments.score import BACKTRACKING
from multidir.experiments.steering.bench import Bench
from multidir.experiments.steering.setup import load_bench
from multidir.models.language_model import LanguageModel
from multidir.models.special import SpecialMap
from multidir.records.pair import Pair
from multidir.records.text import Prompt, Sentence, Trace
from multidir.store.rows import read_rows


class MixtureScience(Protocol):
    """The settings of train/mixtures."""

    @property
    def names(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def k(self) -> int: ...  # noqa: D102
    @property
    def layers(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def words(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def suppress(self) -> bool: ...  # noqa: D102
    @property
    def learning(self) -> Learning: ...  # noqa: D102
    @property
    def whole(self) -> Whole: ...  # noqa: D102
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
    def prompts(self) -> Path | None: ...  # noqa: D102
    @property
    def pair(self) -> Pair: ...  # noqa: D102
    @property
    def science(self) -> MixtureScience: ...  # noqa: D102
    @property
    def compute(self) -> Compute: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class Scene:
    """One model with what is mixed, and how."""

    lm: LanguageModel
    space: Space
    bank: Bank
    science: MixtureScience
    batch_tokens: int
    file: Callable[[str], Path]
    """From a name to where it is kept in the run folder."""

    @property
    def objective(self) -> Objective:
        """What is maximised.

        Raises:
            DesignError: the vocabulary has none of the words.
        """
        learning, tokens = self.science.learning, wait_tokens(self.lm, self.science.words)
        return Objective(tokens, learning.kl_price, learning.budget, self.science.suppress)


@dataclass(frozen=True)
class Benches:
    """Where contenders write whole texts: problems to search on and others to confirm on, with other seeds."""

    search: Bench
    confirm: Bench


def benches_of(inputs: Inputs, seen: set[str]) -> Benches | None:
    """The problems of whole texts; None where no problems are given.

    Args:
        inputs: Settings and folders.
        seen: Prompts of the texts that weights are learned from.
    Raises:
        ConfigError: a search without problems. MissingExtra: a search without the package for it.
        DesignError: a prompt on two sides.
    """
    whole = inputs.science.whole
    if whole.generations:
        require_cmaes()
    if inputs.prompts is None:
        if whole.generations:
            raise ConfigError(
                f"--generations {whole.generations} searches on whole texts, which need problems: give --prompts"
            )
        return None
    bench = load_bench(inputs.pair, inputs.pair.steered, inputs.prompts, inputs.directions, whole, inputs.compute)
    sides = [
        spread_out(read_rows(inputs.prompts / f"{split}.jsonl", Prompt), most)
        for split, most in ((whole.search_split, whole.search_problems), (whole.split, whole.problems))
    ]
    _check_apart(whole, [{problem.id for problem in side} for side in sides], seen)
    search, confirm = (replace(bench, prompts=rendered_for(bench.lm, bench.lm, side, SpecialMap())) for side in sides)
    return Benches(replace(search, seed=whole.text_seed + 1), confirm)


def _check_apart(whole: Whole, sides: Sequence[set[str]], seen: set[str]) -> None:
    search, confirm = sides
    for what, both in (
        (f"in both {whole.search_split!r} and {whole.split!r}", search & confirm),
        (f"of {whole.split!r} also those of the texts that weights are learned from", confirm & seen),
    ):
        if both:
            raise DesignError(f"{len(both)} prompts are {what}; make disjoint splits with data/prompts")


def texts_with(
    traces: Sequence[Trace], sentences: Sequence[Sentence], most: int, label: str = BACKTRACKING
) -> list[Trace]:
    """Texts with a sentence of the behaviour, evenly spaced; all texts where none has one, for others to refuse."""
    hits = {sentence.trace_id for sentence in sentences if sentence.label == label}
    some = [trace for trace in traces if trace.id in hits] or list(traces)
    return [some[i] for i in np.unique(np.linspace(0, len(some) - 1, min(most, len(some))).round().astype(int))]


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
