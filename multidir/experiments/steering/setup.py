"""Loads what a steering recipe needs: a target model, its rendered problems, norms and scoring."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

from multidir.config import Compute
from multidir.errors import ConfigError, DesignError
from multidir.experiments.corpus.activations import load_special_map
from multidir.experiments.corpus.labels import annotator_by_name
from multidir.experiments.corpus.traces import rendered_for, sampling_for
from multidir.experiments.score import Scorer
from multidir.experiments.settings import Scoring
from multidir.experiments.steering.bench import Bench
from multidir.models.load import load_model
from multidir.records.pair import Pair
from multidir.records.site import Site
from multidir.records.text import Prompt
from multidir.store.rows import read_rows
from multidir.types import Role


class SteeringScience(Protocol):
    """The settings that steering recipes have in common."""

    @property
    def split(self) -> str: ...  # noqa: D102
    @property
    def rollouts(self) -> int: ...  # noqa: D102
    @property
    def max_new_tokens(self) -> int: ...  # noqa: D102
    @property
    def scoring(self) -> Scoring: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102


class DoseScience(SteeringScience, Protocol):
    """What those have besides that try several doses and resample problems."""

    @property
    def doses(self) -> tuple[float, ...]: ...  # noqa: D102
    @property
    def draws(self) -> int: ...  # noqa: D102


def load_bench(
    pair: Pair, role: Role, prompts: Path, directions: Path, science: SteeringScience, compute: Compute
) -> Bench:
    """One target model with everything around it.

    A relative dose is relative to the reasoning model's mean residual norm for both targets, so that both get the very
    same vector; where there is one model only, to its own.

    Raises:
        DesignError: the split has no problems.
    """
    home = pair.steered
    reasoning = load_model(pair.source(home), home, compute.device, compute.dtype)
    target = reasoning if role == home else load_model(pair.source(role), role, compute.device, compute.dtype)
    problems = read_rows(prompts / f"{science.split}.jsonl", Prompt)
    if not problems:
        raise DesignError(f"the split {science.split!r} of {prompts} has no problems; give it some in data/prompts")
    return Bench(
        lm=target,
        prompts=rendered_for(target, reasoning, problems, load_special_map(pair)),
        mean_norms=read_norms(directions / "norms.json", home),
        scorer=Scorer(annotator_by_name(science.scoring.annotator), science.scoring),
        sampling=sampling_for(reasoning, science.max_new_tokens),
        rollouts=science.rollouts,
        seed=science.seed,
        batch_rows=compute.batch_rows,
        loops=science.scoring.loops,
    )


def read_answers(prompts: Path, split: str) -> dict[str, str | None]:
    """The right answer of every problem of a split, None where it is not known."""
    return {prompt.id: prompt.answer for prompt in read_rows(prompts / f"{split}.jsonl", Prompt)}


def read_norms(file: Path, role: Role) -> dict[Site, float]:
    """Mean residual norm of a model at each site, as train/directions measured it.

    Raises:
        ConfigError: the directions come from elsewhere and nobody measured it.
    """
    if not file.is_file():
        raise ConfigError(
            f"{file.parent} holds no {file.name}, so a dose cannot be relative to the residual norm; give it in "
            "activation or residual units, or use directions of train/directions"
        )
    table = json.loads(file.read_text(encoding="utf-8"))
    return {Site.parse(site): float(value) for site, value in table[role].items()}
