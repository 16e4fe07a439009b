"""Published traces with labels, laid on the tokens of a model of our choice."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from transformers import PreTrainedTokenizerBase

from multidir.annotate.base import LabelledSpan
from multidir.annotate.published import PublishedTrace, read_published
from multidir.annotate.taxonomy import load_taxonomy
from multidir.errors import ConfigError
from multidir.models.align import chars_to_tokens, decode_text, token_spans
from multidir.models.prompting import encode, render_prompt
from multidir.records.text import Sentence, Trace

TextRule = Literal["exact", "rebuilt"]
"""`exact`: the reasoning as it was written. `rebuilt`: as in the paper's code, the labelled sections joined by a space
(paragraph breaks and what lies between sections are lost), each tokenised by itself; a trace whose tokens change when
they are decoded and encoded again is left out."""


@dataclass(frozen=True)
class Imported:
    """Traces, their labelled sections as sentences, and what was left out."""

    traces: list[Trace]
    sentences: list[Sentence]
    dropped: int
    """Sections beyond the length limit."""
    skipped: tuple[str, ...] = ()
    """Ids of traces whose rebuilt text does not survive decoding and encoding."""


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
    file: Path,
    tokenizer: PreTrainedTokenizerBase,
    annotator: str,
    per_category: int,
    max_tokens: int,
    text: TextRule = "exact",
) -> Imported:
    """Read and tokenise; the problem goes through the tokenizer's chat template, the reasoning follows it.

    A label outside the taxonomy leaves its section unlabelled.

    Raises:
        FormatError: a broken line; file and line are named.
        AlignmentError: labels that are not about this text.
    """
    traces: list[Trace] = []
    sentences: list[Sentence] = []
    skipped: list[str] = []
    dropped, seen, origin = 0, Counter[str](), f"published:{file.name}"
    for item in read_published(file):
        seen[item.category] += 1
        if per_category and seen[item.category] > per_category:
            continue
        body = _exact(item, tokenizer) if text == "exact" else _rebuilt(item, tokenizer)
        if body is None:
            skipped.append(item.id)
            continue
        trace, found = _imported(item, body, tokenizer, annotator, max_tokens, origin)
        traces.append(trace)
        sentences += found
        dropped += len(body.spans) - len(found)
    return Imported(traces, sentences, dropped, tuple(skipped))


class _Body(NamedTuple):
    """The reasoning of a trace with its tokens and labelled spans."""

    text: str
    ids: tuple[int, ...]
    spans: list[LabelledSpan]


def _exact(item: PublishedTrace, tokenizer: PreTrainedTokenizerBase) -> _Body:
    return _Body(item.reasoning, encode(tokenizer, item.reasoning), item.spans(load_taxonomy().names))


def _rebuilt(item: PublishedTrace, tokenizer: PreTrainedTokenizerBase) -> _Body | None:
    names, text = load_taxonomy().names, ""
    ids: tuple[int, ...] = ()
    spans: list[LabelledSpan] = []
    for section in item.sections:
        piece = section.text.strip()
        gap = " " if text else ""
        start = len(text) + len(gap)
        text += gap + piece
        ids += encode(tokenizer, gap + piece)
        spans.append(LabelledSpan(start, len(text), section.label if section.label in names else None))
    kept = decode_text(tokenizer, ids) == text and encode(tokenizer, text) == ids
    return _Body(text, ids, spans) if kept else None


def _imported(
    item: PublishedTrace,
    body: _Body,
    tokenizer: PreTrainedTokenizerBase,
    annotator: str,
    max_tokens: int,
    origin: str,
) -> tuple[Trace, list[Sentence]]:
    prompt = render_prompt(tokenizer, item.problem)
    spans = token_spans(tokenizer, body.ids, body.text)
    kept = max(0, min(len(body.ids), max_tokens - len(prompt)))
    end = spans[kept - 1][1] if kept else 0
    trace = Trace(
        id=item.id,
        prompt_id=item.id,
        category=item.category,
        token_ids=prompt + body.ids[:kept],
        n_prompt=len(prompt),
        text=body.text[:end],
        model=origin,
        finished=kept == len(body.ids),
    )
    sentences: list[Sentence] = []
    for span in body.spans:
        if span.end > end:
            break
        first, last = chars_to_tokens(spans, span.start, span.end)
        place = (span.start, span.end, first + len(prompt), last + len(prompt))
        sentences.append(Sentence(item.id, len(sentences), *place, span.label, annotator))
    return trace, sentences
