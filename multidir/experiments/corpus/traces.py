"""Samples reasoning traces, on disk as they finish, and renders prompts for either model of a pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from multidir.chat.request import ChatModel
from multidir.config import Calls
from multidir.models.align import decode_text
from multidir.models.generate import generate
from multidir.models.generation import Generation
from multidir.models.language_model import LanguageModel
from multidir.models.load import load_generation_config, load_tokenizer
from multidir.models.prompting import render_prompt
from multidir.models.sampling import Sampling
from multidir.models.served import ServedModel
from multidir.models.special import SpecialMap
from multidir.progress import progress
from multidir.records.text import Prompt, Trace
from multidir.steer.sweep import row_seed
from multidir.store.rows import append_rows, read_rows, repair_tail


def sampling_for(
    lm: LanguageModel | str, max_new_tokens: int, temperature: float | None = None, top_p: float | None = None
) -> Sampling:
    """The sampling defaults of a model, or of the model at a source, with what is given here in their place."""
    config = load_generation_config(lm) if isinstance(lm, str) else lm.model.generation_config
    own = Sampling.of_config(config, lm if isinstance(lm, str) else lm.source, max_new_tokens)
    return replace(
        own,
        temperature=own.temperature if temperature is None else temperature,
        top_p=own.top_p if top_p is None else top_p,
    )


Engine = LanguageModel | ServedModel
"""What writes traces: a model here, or one behind a server."""


def served_engine(source: str, server: str, name: str, calls: Calls) -> ServedModel:
    """A model behind a server, with the tokenizer of `source`; it is called `name` there, or as `source` is here."""
    return ServedModel(ChatModel(name or source, server), load_tokenizer(source), calls)


def write_traces(
    engine: Engine,
    prompts: Sequence[Prompt],
    sampling: Sampling,
    rollouts: int,
    seed: int,
    batch_rows: int,
    file: Path,
) -> list[Trace]:
    """Generate the traces that are not in `file` yet; return all of them, in order of prompt and rollout."""
    repair_tail(file)
    done = {trace.id: trace for trace in read_rows(file, Trace)} if file.exists() else {}
    jobs = [(p, r) for p in prompts for r in range(rollouts)]
    todo = [(p, r) for p, r in jobs if _trace_id(p, seed, r) not in done]
    with progress(len(jobs), "reasoning traces", "trace", len(done)) as bar:
        for first in range(0, len(todo), batch_rows):
            batch = todo[first : first + batch_rows]
            given = [render_prompt(engine.tokenizer, prompt.text) for prompt, _ in batch]
            seeds = [row_seed(seed, prompt.id, rollout) for prompt, rollout in batch]
            made = _written(engine, given, seeds, sampling, batch_rows)
            traces = [_trace(engine, *job, g, sampling, seed) for job, g in zip(batch, made, strict=True)]
            append_rows(file, traces)
            done |= {trace.id: trace for trace in traces}
            bar.update(len(traces))
    return [done[_trace_id(p, seed, r)] for p, r in jobs]


def _written(
    engine: Engine, given: Sequence[Sequence[int]], seeds: Sequence[int], sampling: Sampling, rows: int
) -> list[Generation]:
    if isinstance(engine, ServedModel):
        return engine.generate(given, seeds, sampling)
    return generate(engine, given, seeds, sampling, rows=rows)


def _trace_id(prompt: Prompt, seed: int, rollout: int) -> str:
    """With the seed, so that traces of several runs can lie in one store."""
    return f"{prompt.id}.{seed}.{rollout}"


def _trace(engine: Engine, prompt: Prompt, rollout: int, made: Generation, sampling: Sampling, seed: int) -> Trace:
    return Trace(
        id=_trace_id(prompt, seed, rollout),
        prompt_id=prompt.id,
        category=prompt.category,
        token_ids=made.token_ids,
        n_prompt=made.n_prompt,
        text=decode_text(engine.tokenizer, made.new_ids),
        model=engine.fingerprint,
        sampling={**asdict(sampling), "seed": seed, "rollout": rollout},
        finished=made.finished,
    )


def rendered_for(
    target: LanguageModel, template_from: LanguageModel, prompts: Sequence[Prompt], special_map: SpecialMap
) -> list[tuple[str, tuple[int, ...]]]:
    """Every prompt in the template of the reasoning model, as the target reads it.

    Both models get the same text, so that they differ in weights alone; for the base model the special
    tokens that it does not know are replaced one by one.
    """
    rendered = [(prompt.id, render_prompt(template_from.tokenizer, prompt.text)) for prompt in prompts]
    return rendered if target is template_from else [(name, special_map.apply(ids)) for name, ids in rendered]
