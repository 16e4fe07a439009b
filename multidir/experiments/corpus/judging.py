"""Annotators that need settings: a model judge with its costs, the keyword judge, a person's exported labels."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol

from multidir import resources
from multidir.annotate.base import Annotator
from multidir.annotate.human import HumanAnnotator
from multidir.annotate.judge import LIKELY_TOKENS_PER_LABEL, Judge, ModelJudge
from multidir.annotate.lexical import KeywordAnnotator
from multidir.chat.batch import answer_in_batches
from multidir.chat.client import Chat
from multidir.chat.forecast import forecast
from multidir.config import Calls
from multidir.errors import AlignmentError, ConfigError
from multidir.experiments.corpus.labels import ANNOTATORS, annotator_by_name, count_labels
from multidir.records.text import Sentence

log = logging.getLogger(__name__)


class AnnotatorSettings(Protocol):
    """What a recipe says about its annotator."""

    @property
    def annotator(self) -> str: ...  # noqa: D102
    @property
    def keywords(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def judge(self) -> Judge: ...  # noqa: D102


def annotator_inputs(name: str) -> dict[str, Path]:
    """Files that decide an annotator's labels and are no setting: for a judge the taxonomy."""
    return {"taxonomy": resources.path("taxonomy.toml")} if name == "judge" else {}


def make_annotator(settings: AnnotatorSettings, hand_labels: Path | None, calls: Calls, account: str) -> Annotator:
    """The annotator that the settings name.

    Args:
        settings: which one, and its own settings.
        hand_labels: exported labels, for `human`.
        calls: how a judge may be called.
        account: the run whose money a judge spends.
    Raises:
        ConfigError: unknown name, or `human` without a file.
    """
    name = settings.annotator
    if name == "judge":
        return ModelJudge(settings.judge, Chat(settings.judge, calls, account))
    if name == "keyword":
        return KeywordAnnotator(settings.keywords)
    if name == "human":
        if hand_labels is None:
            raise ConfigError(
                "--annotator human needs --hand-labels, a file that a page of data/label-by-hand exported"
            )
        return HumanAnnotator(hand_labels)
    if name not in ANNOTATORS:
        raise ConfigError(f"no annotator {name!r}; there are {', '.join([*ANNOTATORS, 'judge', 'human'])}")
    return annotator_by_name(name)


def cost(annotator: Annotator, texts: Iterable[str]) -> str:
    """What labelling these texts will cost, in words."""
    if not isinstance(annotator, ModelJudge):
        return f"{annotator.name} makes no calls"
    asked = [(question[0], n * LIKELY_TOKENS_PER_LABEL) for text in texts for question, n in annotator.questions(text)]
    found = forecast(asked, annotator.chat.cache, annotator.chat.price)
    return f"{annotator.name}: {found}" + (", half of it as batch jobs" if annotator.chat.calls.batch_api else "")


def ask_in_batches(annotator: Annotator, texts: Iterable[str]) -> None:
    """Have a judge's questions answered by batch jobs, where that is wanted; labelling then finds the answers."""
    if isinstance(annotator, ModelJudge) and annotator.chat.calls.batch_api:
        answer_in_batches(annotator.chat, (q for text in texts for q, _ in annotator.questions(text)))


def workers_for(annotator: Annotator, calls: Calls) -> int:
    """How many traces are labelled at the same time: waiting for a server is all that threads are good for."""
    return calls.workers if isinstance(annotator, ModelJudge) else 1


def findings(annotator: Annotator, sentences: Sequence[Sentence], positive: str) -> dict[str, Any]:
    """What a run notes about its labels: the counts, and of a judge what it was told, where it failed, what it cost.

    Raises:
        AlignmentError: a person's labels belong to none of the sentences.
    """
    if isinstance(annotator, HumanAnnotator) and all(item.label is None for item in sentences):
        raise AlignmentError(f"none of the labels of {annotator.name} belongs to these traces; give those of the page")
    notes: dict[str, Any] = {"annotator": annotator.name}
    headline = str(count_labels(sentences, positive))
    if isinstance(annotator, ModelJudge):
        notes |= {
            "endpoint": annotator.judge.base_url,
            "rubric": annotator.rubric_hash,
            "taxonomy": annotator.taxonomy.content_hash,
            "unlabelled": dict(annotator.unlabelled),
            "spent": str(annotator.chat.ledger),
        }
        reasons = ", ".join(f"{n} {reason}" for reason, n in annotator.unlabelled.items())
        headline += f"{f' ({reasons})' if reasons else ''}; {annotator.chat.ledger}"
    return {**notes, "headline": headline}
