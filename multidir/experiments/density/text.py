"""The text side of density: which tokens write a keyword, and the tokens of single traces with their projection."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from multidir.experiments.density.project import Projected
from multidir.models.align import chars_to_tokens, token_spans
from multidir.records.text import Sentence, Trace
from multidir.store.activations import ActivationStore
from multidir.types import BoolArray


def keyword_tokens(store: ActivationStore, tokenizer: PreTrainedTokenizerBase, keywords: Sequence[str]) -> BoolArray:
    """(n,) tokens that write a keyword (a whole word, in any case) in the generated part of a trace.

    Raises:
        AlignmentError: the tokens of a trace do not spell its text.
    """
    pattern = re.compile(r"\b(?:" + "|".join(map(re.escape, keywords)) + r")\b", re.IGNORECASE)
    found = np.zeros(store.n_rows, dtype=bool)
    for trace in store.iterate_traces():
        matches = list(pattern.finditer(trace.text))
        if not matches:
            continue
        spans = token_spans(tokenizer, trace.token_ids[trace.n_prompt :], trace.text)
        first_row = store.info(trace.id).row_start + trace.n_prompt
        for match in matches:
            first, last = chars_to_tokens(spans, *match.span())
            found[first_row + first : first_row + last] = True
    return found


def shaded_rows(
    store: ActivationStore,
    found: Projected,
    tokenizer: PreTrainedTokenizerBase,
    sentences: Sequence[Sentence],
    label: str,
    samples: int,
) -> Iterator[dict[str, Any]]:
    """Tokens of the first traces with the label: role, trace, place, text, z, labelled, before.

    `text` of all places joined is the text of the trace; `labelled` says that the token lies in a sentence with the
    label, `before` that it lies in the window before one.
    """
    chosen = list(dict.fromkeys(item.trace_id for item in sentences if item.label == label))[:samples]
    for trace_id in chosen:
        trace = store.trace(trace_id)
        inside = np.zeros(len(trace.token_ids), dtype=bool)
        for item in sentences:
            if item.trace_id == trace_id and item.label == label:
                inside[item.token_start : item.token_end] = True
        first_row = store.info(trace_id).row_start
        for place, text in token_pieces(trace, tokenizer):
            yield {
                "role": str(found.role),
                "trace": trace_id,
                "place": place,
                "text": text,
                "z": float(found.z[first_row + place]),
                "labelled": bool(inside[place]),
                "before": bool(found.before[first_row + place]),
            }


def token_pieces(trace: Trace, tokenizer: PreTrainedTokenizerBase) -> Iterator[tuple[int, str]]:
    """Place and text of each generated token; a character that several tokens share belongs to the first.

    Raises:
        AlignmentError: the tokens do not spell the text of the trace.
    """
    done = 0
    for place, (_, end) in enumerate(token_spans(tokenizer, trace.token_ids[trace.n_prompt :], trace.text)):
        yield trace.n_prompt + place, trace.text[done:end]
        done = max(done, end)
