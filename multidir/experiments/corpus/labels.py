"""Labels the sentences of traces, on the exact tokens that the model wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from transformers import PreTrainedTokenizerBase

from multidir.annotate.base import Annotator
from multidir.annotate.lexical import KeywordAnnotator, LexicalAnnotator
from multidir.chat.pool import in_order
from multidir.errors import ConfigError
from multidir.models.align import trace_token_spans
from multidir.models.thinking import thinking_text
from multidir.organism.annotator import GrammarAnnotator
from multidir.progress import each
from multidir.records.text import Sentence, Trace

ANNOTATORS: dict[str, Callable[[], Annotator]] = {
    "lexical": LexicalAnnotator,
    "keyword": KeywordAnnotator,
    "grammar": GrammarAnnotator,
}
"""By the name used in settings. `grammar` knows the language of the tiny pair exactly, and no other."""


def annotator_by_name(name: str) -> Annotator:
    """An annotator that needs no settings and no network.

    Raises:
        ConfigError: unknown name.
    """
    if name not in ANNOTATORS:
        raise ConfigError(f"no annotator {name!r}; there are {', '.join(ANNOTATORS)}")
    return ANNOTATORS[name]()


def reasoning_texts(traces: Iterable[Trace], tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """The reasoning part of each trace: what is labelled."""
    return [thinking_text(tokenizer, trace.token_ids[trace.n_prompt :]) for trace in traces]


def label_traces(
    traces: Sequence[Trace], annotator: Annotator, tokenizer: PreTrainedTokenizerBase, workers: int = 1
) -> Iterator[list[Sentence]]:
    """Sentences of each trace's reasoning part, with character and absolute token spans.

    Args:
        traces: what to label.
        annotator: who labels; asked from several threads when there are several workers.
        tokenizer: of the model that wrote the traces.
        workers: traces that are labelled at the same time.
    Raises:
        AlignmentError: a trace's tokens do not spell its text; the trace is named.
    """
    found = in_order(annotator.label, reasoning_texts(traces, tokenizer), workers)
    labelled = zip(traces, found, strict=True)
    for trace, spans in each(labelled, f"labels by {annotator.name}", "trace", len(traces)):
        tokens = trace_token_spans(tokenizer, trace, [(span.start, span.end) for span in spans])
        yield [
            Sentence(trace.id, index, span.start, span.end, first, last, span.label, annotator.name)
            for index, (span, (first, last)) in enumerate(zip(spans, tokens, strict=True))
        ]


@dataclass(frozen=True)
class LabelCounts:
    """What an annotator found in a set of traces."""

    sentences: int
    unlabelled: int
    backtracking: int
    traces_with_backtracking: int

    def __str__(self) -> str:
        share = self.backtracking / self.sentences if self.sentences else float("nan")
        unknown = f", {self.unlabelled} not labelled" if self.unlabelled else ""
        return (
            f"{self.sentences} sentences, {self.backtracking} of them backtracking ({share:.1%}) "
            f"in {self.traces_with_backtracking} traces{unknown}"
        )


def count_labels(sentences: Iterable[Sentence], positive: str) -> LabelCounts:
    """Count sentences, those without label, and those of the positive class."""
    items = list(sentences)
    hits = [item for item in items if item.label == positive]
    return LabelCounts(
        sentences=len(items),
        unlabelled=sum(item.label is None for item in items),
        backtracking=len(hits),
        traces_with_backtracking=len({item.trace_id for item in hits}),
    )
