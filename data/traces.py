"""What does the reasoning model write when it reasons about these problems?

Samples reasoning traces with the model's own chat template and stores the exact token ids. The paper's
settings are temperature 0.7 and 500 new tokens; every setting left out here is the model's own default.

    multidir run data/traces --prompts runs/data/prompts/... --max-new-tokens 500 --temperature 0.7
    multidir run data/traces --prompts ... --server http://localhost:8000/v1 --served-model my-model

Writes traces.jsonl. Seconds on the tiny pair; resumable: traces that are on disk are not made again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from multidir.config import PaidCompute
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
    server: str = ""
    """Address of a server that speaks OpenAI's completions, such as vLLM, and holds the reasoning model; empty: the
    model is run here. Only its tokenizer is then needed here; the token ids that the server wrote are asked for, or
    made of its text and checked."""
    served_model: str = ""
    """Name of the model at the server; empty: as the pair calls it."""
    seed: int = 0
    """Seed of the sampling; each trace has its own, made from this, its problem and its rollout."""


@dataclass(frozen=True)
class Config:
    """Settings of this recipe."""

    prompts: Path
    """Run folder of data/prompts."""
    pair: Pair = TINY
    science: Science = field(default_factory=Science)
    compute: PaidCompute = field(default_factory=PaidCompute)


def main(cfg: Config) -> Path:
    """Write the traces and return the run folder."""
    run = open_stage(cfg, "data/traces")
    if run.complete:
        return run.path
    from multidir.experiments.corpus.traces import sampling_for, served_engine, write_traces
    from multidir.models.load import load_model

    with run:
        s, source = cfg.science, cfg.pair.source("reasoning")
        lm = None if s.server else load_model(source, "reasoning", cfg.compute.device, cfg.compute.dtype)
        engine = lm or served_engine(source, s.server, s.served_model, cfg.compute.calls)
        sampling = sampling_for(lm or source, s.max_new_tokens, s.temperature, s.top_p)
        prompts = read_rows(cfg.prompts / f"{s.split}.jsonl", Prompt)
        parts = (sampling, s.rollouts, s.seed, cfg.compute.batch_rows, run.file("traces.jsonl"))
        traces = write_traces(engine, prompts, *parts)
        run.note(headline=f"{len(traces)} traces, {sum(t.finished for t in traces)} of them finished")
    return run.path
