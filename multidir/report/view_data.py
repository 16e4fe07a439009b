"""What the trace viewer is given: tokens with their numbers, sentences, and steered beside unsteered texts, as JSON.

Numbers are packed as 16-bit floats in standard deviations from their mean over the generated tokens shown, so that
thousands of traces fit one page: three digits of every z, and `mean + sd z` gives back the number itself.
"""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerBase

from multidir.annotate.base import Annotator
from multidir.experiments.density.text import token_pieces
from multidir.models.align import decode_text
from multidir.progress import each
from multidir.records.outcome import Condition, Outcome
from multidir.records.text import Sentence, Trace
from multidir.report.blocks import LABEL_CLASSES, visible
from multidir.report.view_readings import Reading
from multidir.store.activations import ActivationStore
from multidir.types import FloatArray


def some(traces: Sequence[Trace], sentences: Mapping[str, Sequence[Sentence]], label: str, most: int) -> list[Trace]:
    """At most so many traces in their order: those with the label before all others."""
    with_label = [t.id for t in traces if any(s.label == label for s in sentences.get(t.id, ()))]
    first = set([*with_label, *(t.id for t in traces if t.id not in set(with_label))][:most])
    return [trace for trace in traces if trace.id in first]


def by_trace(sentences: Iterable[Sentence]) -> dict[str, list[Sentence]]:
    """Sentences of each trace, in order."""
    found: dict[str, list[Sentence]] = defaultdict(list)
    for sentence in sorted(sentences, key=lambda s: (s.trace_id, s.char_start)):
        found[sentence.trace_id].append(sentence)
    return dict(found)


def trace_items(
    traces: Sequence[Trace], sentences: Mapping[str, Sequence[Sentence]], tokenizer: PreTrainedTokenizerBase
) -> Iterator[dict[str, Any]]:
    """Each trace with its prompt, its tokens as text, and its sentences by generated token.

    Raises:
        AlignmentError: the tokens of a trace do not spell its text in this tokenizer.
    """
    for trace in each(traces, "traces", "trace"):
        spans = [
            (max(0, s.token_start - trace.n_prompt), s.token_end - trace.n_prompt, s.label)
            for s in sentences.get(trace.id, ())
            if s.token_end > trace.n_prompt
        ]
        yield {
            "id": trace.id,
            "category": trace.category,
            "prompt": visible(decode_text(tokenizer, trace.token_ids[: trace.n_prompt])).strip(),
            "first": trace.n_prompt,
            "tokens": [visible(text) for _, text in token_pieces(trace, tokenizer)],
            "sentences": spans,
        }


def reading_items(
    readings: Sequence[Reading], store: ActivationStore, traces: Sequence[Trace]
) -> tuple[list[dict[str, Any]], list[list[str]]]:
    """What the readings are, and for each of them the packed numbers of every trace; an unknown is NaN."""
    rows = [slice(store.info(t.id).row_start + t.n_prompt, store.info(t.id).row_end) for t in traces]
    items, columns = [], []
    for reading in readings:
        values = reading.values(store, rows)
        everything = np.concatenate([np.zeros(0), *values])
        known = everything[np.isfinite(everything)]
        mean = float(known.mean()) if known.size else 0.0
        spread = float(known.std()) or 1.0 if known.size else 1.0
        columns.append([_packed((value - mean) / spread) for value in values])
        items.append(
            {
                "name": reading.name,
                "what": reading.what,
                "where": " ".join(map(str, reading.key)),
                "window": reading.window,
                "about": reading.about,
                "own": reading.own,
                "mean": mean,
                "sd": spread,
            }
        )
    return items, columns


def _packed(z: FloatArray) -> str:
    """Little-endian 16-bit floats as base64; what is beyond their range stays at its end."""
    return base64.b64encode(np.clip(z, -65504, 65504).astype("<f2").tobytes()).decode()


def steered_items(outcomes: Iterable[Outcome], most: int, annotator: Annotator | None) -> list[dict[str, Any]]:
    """Texts of the same problem, model and random numbers: the unsteered one, then every condition.

    Args:
        outcomes: of a steering run.
        most: problems at most, those with most steered texts that backtrack first.
        annotator: who labels their sentences; nobody when none.
    """
    groups: dict[tuple[str, str, int], list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.condition.target, outcome.prompt_id, outcome.rollout].append(outcome)
    whole = [(key, found) for key, found in groups.items() if any(_unsteered(o.condition) for o in found)]
    ranked = sorted(whole, key=lambda pair: -sum(bool(o.n_backtracks) for o in pair[1]))[:most]
    return [
        {
            "target": target,
            "prompt": prompt,
            "rollout": rollout,
            "texts": [_text(o, annotator) for o in sorted(found, key=lambda o: not _unsteered(o.condition))],
        }
        for (target, prompt, rollout), found in each(ranked, "steered texts", "problem")
    ]


def _unsteered(condition: Condition) -> bool:
    return condition.direction == "none" and condition.dose == 0


def _text(outcome: Outcome, annotator: Annotator | None) -> dict[str, Any]:
    condition, text = outcome.condition, visible(outcome.text)
    dose = f"{condition.dose:g}" + ("x" if condition.dose_unit == "relative" else f" {condition.dose_unit}")
    spans = annotator.label(outcome.text) if annotator is not None else ()
    return {
        "cell": "unsteered" if _unsteered(condition) else f"{condition.direction}, {dose}",
        "text": text,
        "sentences": [(span.start, span.end, span.label) for span in spans],
        "facts": {
            "backtracking sentences": outcome.n_backtracks,
            "sentences": outcome.n_sentences,
            "coherent": outcome.coherent,
            "new tokens": outcome.n_new_tokens,
            "tokens edited": outcome.positions_edited,
            "mean log-probability": None if outcome.logprob is None else round(outcome.logprob, 3),
        },
    }


def labels_in_use(traces: Iterable[Mapping[str, Any]], steered: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Style class of every label that occurs, in the order of the taxonomy."""
    texts = [*traces, *(text for item in steered for text in item["texts"])]
    used = {label for item in texts for _, _, label in item["sentences"] if label is not None}
    order = [*LABEL_CLASSES, *sorted(used - set(LABEL_CLASSES))]
    return {label: LABEL_CLASSES.get(label, "label-other") for label in order if label in used}
