"""Traces of the tiny pair's language under the rule AND, captured and labelled; their causes can be read exactly."""

from __future__ import annotations

from pathlib import Path

from multidir.config import Compute
from multidir.experiments.corpus.activations import capture_store, put_sentences
from multidir.experiments.corpus.labels import annotator_by_name, label_traces
from multidir.models.load import load_tokenizer
from multidir.models.prompting import encode, render_prompt
from multidir.organism.corpus import reasoning_trace
from multidir.organism.rule import RULES
from multidir.organism.solutions import Habits
from multidir.organism.worlds import load_worlds
from multidir.records.pair import TINY
from multidir.records.site import Site
from multidir.records.text import Trace
from multidir.store.activations import ActivationStore

SITE, WORDS = Site(2), ("wait", "hmm", "but", "no")


def written_traces(count: int) -> list[Trace]:
    """What the language's own writer writes, on the tokens of the shipped reasoning model."""
    tokenizer, worlds, traces = load_tokenizer(TINY.source("reasoning")), load_worlds(), []
    for i in range(count):
        made = reasoning_trace(f"candidates {i}", worlds, RULES["and"], Habits())
        prompt, body = render_prompt(tokenizer, made.problem.text), encode(tokenizer, made.reasoning)
        traces.append(Trace(f"t{i}", f"p{i}", made.problem.world.category, prompt + body, len(prompt), made.reasoning))
    return traces


def causes_store(path: Path, count: int = 130) -> ActivationStore:
    """Both models at the site after which the causes were planted."""
    traces = written_traces(count)
    store = capture_store(path, TINY, Compute(device="cpu"), traces, (SITE,), "float32")
    tokenizer, annotator = load_tokenizer(TINY.source("reasoning")), annotator_by_name("grammar")
    put_sentences(store, [s for found in label_traces(traces, annotator, tokenizer) for s in found], (-3, -1))
    return store
