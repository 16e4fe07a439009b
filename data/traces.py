"""What does the reasoning model write when it reasons about these problems?

Samples reasoning traces with the model's own chat template and stores the exact token ids. The paper's
settings are temperature 0.7 and 500 new tokens; every setting left out here is the model's own default.

    multidir run data/traces --prompts runs/data/prompts/... --max-new-tokens 500 --temperature 0.7

Writes traces.jsonl. Seconds on the tiny pair; resumable: traces that are on disk are not made again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from multidir.config import Compute
from multidir.recipes.stage import open_stage
from multidir.records.pair import TINY, Pair
from multidir.records.text import Prompt
from multidir.store.rows import read_rows


@dataclass(frozen=True)
class Science:
    """What changes numbers."""

    split: str = "derive"
    """Split of the problems to answer."""
    rollouts: int = 1
    """Traces per problem."""
    max_new_tokens: int = 500
    """Length limit, in tokens."""
    temperature: float | None = None
    """Sampling temperature; none: the model's own."""
    top_p: float | None = None
    """Nucleus; none: the model's own."""
    seed: int = 0
    """Seed of the sampling; each trace has its own, made from this, its problem and its rollout."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    prompts: Path
    """Run folder of data/prompts."""
    pair: Pair = TINY
    science: Science = field(default_factory=Science)
    compute: Compute = field(default_factory=Compute)


def main(cfg: Config) -> Path:
    """Write the traces and return the run folder."""
    run = open_stage(cfg, "data/traces")
    if run.complete:
        return run.path
    from multidir.experiments.traces import sampling_for, write_traces
    from multidir.models.load import load_model

    with run:
        lm = load_model(cfg.pair.source("reasoning"), "reasoning", cfg.compute.device, cfg.compute.dtype)
        sampling = sampling_for(lm, cfg.science.max_new_tokens, cfg.science.temperature, cfg.science.top_p)
        prompts = read_rows(cfg.prompts / f"{cfg.science.split}.jsonl", Prompt)
        traces = write_traces(
            lm,
            prompts,
            sampling,
            cfg.science.rollouts,
            cfg.science.seed,
            cfg.compute.batch_rows,
            run.file("traces.jsonl"),
        )
        run.note(headline=f"{len(traces)} traces, {sum(t.finished for t in traces)} of them finished")
    return run.path
