"""Makes a reasoning sibling of a language model, and measures both: loss on unseen traces, and what they write."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd

from multidir.annotate.base import Annotator
from multidir.config import Compute
from multidir.errors import AlignmentError, DesignError
from multidir.experiments.cells import cells_table
from multidir.experiments.results import Results
from multidir.experiments.score import BACKTRACKING, Scorer
from multidir.experiments.settings import Scoring
from multidir.experiments.steering.bench import Bench, run_conditions
from multidir.models.align import decode_text
from multidir.models.generation import Generation
from multidir.models.language_model import LanguageModel
from multidir.models.load import load_model, save_model
from multidir.models.logprobs import mean_logprobs
from multidir.models.sampling import Sampling
from multidir.records.outcome import Condition, Outcome
from multidir.records.text import Sentence, Trace
from multidir.stats.proportions import ratio_of_sums
from multidir.tuning.finetune import finetune
from multidir.tuning.settings import Tuning
from multidir.tuning.stretches import Stretches
from multidir.types import FloatArray, Role

CHECKPOINT = "training.safetensors"


class ReasonerScience(Protocol):
    """The settings of train/reasoner."""

    @property
    def tuning(self) -> Tuning: ...  # noqa: D102
    @property
    def held_out(self) -> float: ...  # noqa: D102
    @property
    def rollouts(self) -> int: ...  # noqa: D102
    @property
    def max_new_tokens(self) -> int: ...  # noqa: D102
    @property
    def write_temperature(self) -> float: ...  # noqa: D102
    @property
    def write_top_p(self) -> float: ...  # noqa: D102
    @property
    def scoring(self) -> Scoring: ...  # noqa: D102
    @property
    def draws(self) -> int: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102


def make_reasoner(
    source: str,
    traces: Sequence[Trace],
    sentences: Sequence[Sentence],
    science: ReasonerScience,
    compute: Compute,
    annotator: Annotator,
    folder: Path,
) -> Results:
    """Finetune a model on traces, write the sibling to `folder/model`, and measure both on traces it has not seen.

    What is finished in the folder is not done again, and a training that was interrupted goes on.

    Args:
        source: the model.
        traces: in its tokens.
        sentences: their labels.
        science: settings.
        compute: where.
        annotator: who labels what the two models write.
        folder: of the run.
    Raises:
        AlignmentError: traces in the tokens of another model.
        DesignError: too few traces.
    """
    learnt, left = held_out(traces, science.held_out, science.seed)
    losses, outcomes, curve = dict[str, FloatArray](), list[Outcome](), list[dict[str, float]]()
    roles: tuple[Role, ...] = ("base", "reasoning")
    for role in roles:
        if role == "reasoning":
            curve = _train(source, learnt, sentences, science, compute, folder)
        lm = load_model(source if role == "base" else folder / "model", role, compute.device, compute.dtype)
        check_tokens(lm, traces)
        losses[role], tokens = held_out_losses(lm, left)
        outcomes += _write(lm, left, science, compute, Scorer(annotator, science.scoring), folder / "outcomes.jsonl")
    (folder / CHECKPOINT).unlink(missing_ok=True)
    loss = loss_rows(losses, tokens, science.draws, science.seed)
    cells = cells_table(outcomes, science.seed, science.draws, science.scoring.count_prompt)
    return Results({"loss": with_curve(loss, curve), "cells": cells}, headline(loss, cells))


def held_out(traces: Sequence[Trace], share: float, seed: int) -> tuple[list[Trace], list[Trace]]:
    """Traces to learn from, and traces that are kept from it: all traces of a problem lie on one side.

    Raises:
        DesignError: one of the two sides is empty.
    """
    place = {p: hashlib.sha256(f"{seed}|{p}".encode()).digest() for p in {trace.prompt_id for trace in traces}}
    kept = set(sorted(place, key=place.__getitem__)[: round(share * len(place))])
    learnt, left = ([t for t in traces if (t.prompt_id in kept) == side] for side in (False, True))
    if not learnt or not left:
        raise DesignError(
            f"{len(place)} problems with --held-out {share:g} leave {len(learnt)} traces to learn from and {len(left)} "
            "to measure on; both need some"
        )
    return learnt, left


def check_tokens(lm: LanguageModel, traces: Sequence[Trace]) -> None:
    """Refuse traces whose tokens are those of another model.

    Raises:
        AlignmentError: a trace's tokens do not spell its text; the trace is named.
    """
    for trace in traces:
        known = max(trace.token_ids) < lm.vocab_size
        if not known or decode_text(lm.tokenizer, trace.token_ids[trace.n_prompt :]) != trace.text:
            raise AlignmentError(
                f"trace {trace.id} is not in the tokens of {lm.source}; import or write the traces with its tokenizer"
            )


def held_out_losses(lm: LanguageModel, traces: Sequence[Trace]) -> tuple[FloatArray, FloatArray]:
    """Summed loss in nats, and number of tokens that it is a sum over, of each trace."""
    texts = [Generation(trace.token_ids, trace.n_prompt, "eos" if trace.finished else "length") for trace in traces]
    tokens = np.array([len(text.new_ids) for text in texts], dtype=np.float64)
    means = np.array([np.nan if mean is None else mean for mean in mean_logprobs(lm, texts)])
    return np.where(tokens > 0, -means * tokens, 0.0), tokens


def loss_rows(losses: Mapping[str, FloatArray], tokens: FloatArray, draws: int, seed: int) -> pd.DataFrame:
    """Held-out loss per token of each model, and how it changed on the same traces; intervals resample traces."""
    rows = []
    for name, sums in {**losses, "change": losses["reasoning"] - losses["base"]}.items():
        found = ratio_of_sums(sums, tokens, np.random.default_rng(seed), draws, scale="nats per token")
        rows.append({"model": name, "loss": found.value, "low": found.low, "high": found.high, "n_traces": found.n})
    return pd.DataFrame(rows)


def with_curve(loss: pd.DataFrame, curve: Sequence[Mapping[str, float]]) -> pd.DataFrame:
    """The course of training above the held-out losses, which belong to its two ends."""
    training = pd.DataFrame(curve).assign(model="training", low=np.nan, high=np.nan, n_traces=0)
    ends = loss.assign(tokens=loss["model"].map({"base": 0}).fillna(training["tokens"].max()))
    return pd.concat([training[["model", "tokens", *ends.columns.difference(["model", "tokens"], sort=False)]], ends])


def headline(loss: pd.DataFrame, cells: pd.DataFrame) -> str:
    """What finetuning did, in a sentence."""
    by = {row.model: row for row in loss.itertuples(index=False)}
    said = {
        role: f"{some['keyword_share'].iloc[0]:.2%} of words are keywords and {some['backtrack_share'].iloc[0]:.1%} of "
        "sentences backtracking"
        for role, some in cells.groupby("target")
    }
    return (
        f"loss on {by['base'].n_traces} unseen traces {by['base'].loss:.3f} before and {by['reasoning'].loss:.3f} "
        f"after, change {by['change'].loss:+.3f} [{by['change'].low:+.3f}, {by['change'].high:+.3f}] nats per token; "
        f"unsteered, {said['base']} before, {said['reasoning']} after"
    )


def _train(
    source: str,
    learnt: Sequence[Trace],
    sentences: Sequence[Sentence],
    science: ReasonerScience,
    compute: Compute,
    folder: Path,
) -> list[dict[str, float]]:
    lm = load_model(source, "reasoning", compute.device, "float32")
    stretches = Stretches(learnt, sentences, BACKTRACKING, science.tuning.drawing)
    curve = finetune(lm, stretches, science.tuning, folder / CHECKPOINT)
    config: Any = lm.model.generation_config  # what is measured here is what the sibling does by itself later
    config.do_sample, config.temperature, config.top_p = True, science.write_temperature, science.write_top_p
    config.top_k = 0
    save_model(lm, folder / "model")
    return curve


def _write(
    lm: LanguageModel, traces: Sequence[Trace], s: ReasonerScience, compute: Compute, scorer: Scorer, file: Path
) -> list[Outcome]:
    """What a model writes by itself about the problems of traces it has not seen."""
    problems = {trace.prompt_id: trace.token_ids[: trace.n_prompt] for trace in traces}
    sampling = Sampling(True, s.write_temperature, s.write_top_p, 0, s.max_new_tokens)
    rows, loops = compute.batch_rows, s.scoring.loops
    bench = Bench(lm, list(problems.items()), {}, scorer, sampling, s.rollouts, s.seed, rows, loops)
    return run_conditions(bench, {Condition(lm.role, "none", 0.0): None}, file)
