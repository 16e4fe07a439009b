"""Published traces with labels, laid on the tokens of a model of our choice."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedTokenizerBase

from multidir.annotate.published import PublishedTrace, read_published
from multidir.errors import ConfigError
from multidir.models.align import chars_to_tokens, token_spans
from multidir.models.prompting import encode, render_prompt
from multidir.records.text import Sentence, Trace


@dataclass(frozen=True)
class Imported:
    """Traces, their labelled sections as sentences, and how many sections lie beyond the length limit."""

    traces: list[Trace]
    sentences: list[Sentence]
    dropped: int


def locate_traces(source: str) -> Path:
    """A path, or `env:VARIABLE/name` for a file in the folder that an environment variable names.

    Raises:
        ConfigError: the variable is not set, or there is no such file.
    """
    if source.startswith("env:"):
        variable, _, name = source.removeprefix("env:").partition("/")
        folder = os.environ.get(variable)
        if not folder:
            raise ConfigError(
                f"{source!r}: set the variable {variable} to the folder that holds {name}, or give a path"
            )
        source = str(Path(folder) / name)
    file = Path(source).expanduser()
    if not file.is_file():
        raise ConfigError(f"there is no trace file {source}; give one in the published format")
    return file


def import_published(
    file: Path, tokenizer: PreTrainedTokenizerBase, annotator: str, per_category: int, max_tokens: int
) -> Imported:
    """Read and tokenise; the problem goes through the tokenizer's chat template, the reasoning follows it.

    Raises:
        FormatError: a broken line; file and line are named.
        AlignmentError: labels that are not about this text.
    """
    traces: list[Trace] = []
    sentences: list[Sentence] = []
    dropped, seen = 0, Counter[str]()
    for item in read_published(file):
        seen[item.category] += 1
        if per_category and seen[item.category] > per_category:
            continue
        trace, found = _imported(item, tokenizer, annotator, max_tokens, f"published:{file.name}")
        traces.append(trace)
        sentences += found
        dropped += len(item.spans()) - len(found)
    return Imported(traces, sentences, dropped)


def _imported(
    item: PublishedTrace, tokenizer: PreTrainedTokenizerBase, annotator: str, max_tokens: int, origin: str
) -> tuple[Trace, list[Sentence]]:
    prompt = render_prompt(tokenizer, item.problem)
    body = encode(tokenizer, item.reasoning)
    spans = token_spans(tokenizer, body, item.reasoning)
    kept = max(0, min(len(body), max_tokens - len(prompt)))
    end = spans[kept - 1][1] if kept else 0
    trace = Trace(
        id=item.id,
        prompt_id=item.id,
        category=item.category,
        token_ids=prompt + body[:kept],
        n_prompt=len(prompt),
        text=item.reasoning[:end],
        model=origin,
        finished=kept == len(body),
    )
    sentences: list[Sentence] = []
    for span in item.spans():
        if span.end > end:
            break
        first, last = chars_to_tokens(spans, span.start, span.end)
        place = (span.start, span.end, first + len(prompt), last + len(prompt))
        sentences.append(Sentence(item.id, len(sentences), *place, span.label, annotator))
    return trace, sentences
