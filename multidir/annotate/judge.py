"""A model as annotator: numbered sentences out, labels by number back, spans from here.

What cannot be read is asked once more in halves. What is still not labelled then stays unlabelled and is counted with
the reason; it is never taken for a negative.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from multidir.annotate.answer import read_answer
from multidir.annotate.base import LabelledSpan
from multidir.annotate.rubric import answer_schema, numbered, rubric
from multidir.annotate.segment import split_sentences
from multidir.annotate.taxonomy import load_taxonomy
from multidir.chat.batch import Question
from multidir.chat.client import Chat
from multidir.chat.reply import Reply
from multidir.chat.request import ChatModel, Request
from multidir.errors import ConfigError
from multidir.store.atomic import sha256_json

TOKENS_PER_LABEL = 32
"""Room in the answer for one sentence; `{"id": 12, "label": "uncertainty-estimation"},` with line breaks takes 25."""
LIKELY_TOKENS_PER_LABEL = 14
"""What it takes without them."""


@dataclass(frozen=True)
class Judge(ChatModel):
    """Which model judges, by which taxonomy, and how much it sees at a time."""

    taxonomy: str = "six"
    """Table of data/taxonomy.toml: `six` or `binary`, or one with another reading of backtracking."""
    sentences_per_call: int = 60
    """Most sentences that one call labels."""
    context_sentences: int = 8
    """Sentences shown before them without a number, where a trace needs several calls."""
    spare_tokens: int = 128
    """Room in the answer beyond the labels; a model that thinks before it answers needs thousands."""

    def __post_init__(self) -> None:
        """Refuse calls without sentences."""
        super().__post_init__()
        if self.sentences_per_call < 1 or self.context_sentences < 0 or self.spare_tokens < 0:
            raise ConfigError(
                f"--sentences-per-call is {self.sentences_per_call}, --context-sentences {self.context_sentences}, "
                f"--spare-tokens {self.spare_tokens}; they are at least 1, 0 and 0"
            )


class ModelJudge:
    """Labels sentences by asking a model; may be used from many threads."""

    def __init__(self, judge: Judge, chat: Chat) -> None:
        self.judge, self.chat = judge, chat
        self.taxonomy = load_taxonomy(judge.taxonomy)
        self.rubric, self.schema = rubric(self.taxonomy), answer_schema(self.taxonomy)
        self.unlabelled: Counter[str] = Counter()
        """Sentences that stayed without a label, by reason."""
        self._counting = threading.Lock()

    @property
    def name(self) -> str:
        """Model and taxonomy with its version, such as `judge/gpt-4o/six/1`; stored with every label."""
        return f"judge/{self.judge.model}/{self.taxonomy}"

    @property
    def rubric_hash(self) -> str:
        """Sha256 of everything the judge is told besides the sentences."""
        return sha256_json([self.rubric, self.schema])

    def label(self, text: str) -> list[LabelledSpan]:
        """Sentences of the text with their labels.

        Raises:
            JudgeError: the endpoint gives no answer, or the spend cap leaves no room.
        """
        spans = split_sentences(text)
        labels: list[str | None] = [None] * len(spans)
        for part in self._parts(len(spans)):
            if self._fill(labels, text, spans, part) is None:
                continue
            for half in _halves(part, labels):
                if (problem := self._fill(labels, text, spans, half)) is not None:
                    with self._counting:
                        self.unlabelled[problem] += sum(labels[i] is None for i in half)
        return [LabelledSpan(start, end, label) for (start, end), label in zip(spans, labels, strict=True)]

    def questions(self, text: str) -> Iterator[tuple[Question, int]]:
        """What `label` asks first about a text, with the number of sentences in each question."""
        spans = split_sentences(text)
        for part in self._parts(len(spans)):
            n = len(part)
            yield (self._request(text, spans, part), partial(self._whole, n=n)), n

    def _fill(self, labels: list[str | None], text: str, spans: Sequence[tuple[int, int]], part: range) -> str | None:
        """Ask about some sentences, fill in the labels that are still missing, and say what was wrong."""
        n = len(part)
        reply = self.chat.ask(self._request(text, spans, part), partial(self._whole, n=n))
        answer = read_answer(reply, n, self.taxonomy)
        for number, label in answer.labels.items():
            place = part.start + number - 1
            labels[place] = labels[place] or label
        return answer.problem

    def _whole(self, reply: Reply, n: int) -> bool:
        return read_answer(reply, n, self.taxonomy).problem is None

    def _request(self, text: str, spans: Sequence[tuple[int, int]], part: range) -> Request:
        sentences = [text[start:end] for start, end in spans[part.start : part.stop]]
        first = max(0, part.start - self.judge.context_sentences)
        before = [text[start:end] for start, end in spans[first : part.start]]
        messages = (("system", self.rubric), ("user", numbered(sentences, before)))
        room = self.judge.spare_tokens + TOKENS_PER_LABEL * len(part)
        return Request(self.judge, messages, self.schema, room)

    def _parts(self, n: int) -> list[range]:
        """As few parts as the limit allows, of nearly equal size."""
        count = -(-n // self.judge.sentences_per_call)
        edges = [n * i // count for i in range(count + 1)] if count else []
        return [range(a, b) for a, b in pairwise(edges)]


def _halves(part: range, labels: Sequence[str | None]) -> list[range]:
    """The halves of a part in which something is not labelled; of a single sentence, itself."""
    middle = part.start + len(part) // 2
    halves = (range(part.start, middle), range(middle, part.stop))
    return [half for half in halves if any(labels[i] is None for i in half)]
