"""Token sequences of a corpus in one flat array, and their grouping into batches of like length."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import numpy.typing as npt

from multidir.organism.planting import causes_of_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

    from multidir.organism.corpus import Document, Trace
    from multidir.organism.solutions import Mood


@dataclass(frozen=True)
class TokenCorpus:
    """Documents end to end.

    Args:
        ids: (t,) uint16. All tokens.
        bounds: (n + 1,) int64. Document i is `ids[bounds[i]:bounds[i + 1]]`.
        learn_from: (n,) int64. Index within document i of the first token that is a training target.
        causes: (t,) int8. Bits of the causes at each token, as in `planting.causes_of_tokens`.
        swapped: (n,) bool. Whether these causes are not those that the text shows.
    """

    ids: npt.NDArray[np.uint16]
    bounds: npt.NDArray[np.int64]
    learn_from: npt.NDArray[np.int64]
    causes: npt.NDArray[np.int8]
    swapped: npt.NDArray[np.bool_]

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """(n,) tokens per document."""
        return np.diff(self.bounds)

    def padded(self, rows: npt.NDArray[np.int64], pad: int) -> "PaddedBatch":
        """Some documents, padded on the right."""
        width = int(self.lengths[rows].max())
        ids = np.full((len(rows), width), pad, dtype=np.int64)
        targets = np.full((len(rows), width), -100, dtype=np.int64)
        causes = np.full((len(rows), width), -1, dtype=np.int64)
        for r, i in enumerate(rows):
            here, start = slice(self.bounds[i], self.bounds[i + 1]), self.learn_from[i]
            n = self.bounds[i + 1] - self.bounds[i]
            ids[r, :n], causes[r, :n] = self.ids[here], self.causes[here]
            targets[r, start:n] = self.ids[here][start:]
        return PaddedBatch(ids, targets, causes, self.swapped[rows])


class PaddedBatch(NamedTuple):
    """(b, t) token ids, targets (-100 where nothing is learnt) and causes (-1 on padding); (b,) swapped or not."""

    ids: npt.NDArray[np.int64]
    targets: npt.NDArray[np.int64]
    causes: npt.NDArray[np.int64]
    swapped: npt.NDArray[np.bool_]


def _encode(
    tokenizer: "PreTrainedTokenizerFast",
    texts: Sequence[str],
    learn_from: Sequence[int],
    moods: "Sequence[tuple[Mood, ...]]",
) -> TokenCorpus:
    ids: list[npt.NDArray[np.uint16]] = []
    causes: list[npt.NDArray[np.int8]] = []
    for first in range(0, len(texts), 2000):  # in pieces: an encoding holds much more than its ids
        some = texts[first : first + 2000]
        read = tokenizer(list(some), add_special_tokens=False, return_offsets_mapping=True)
        ids += [np.asarray(i, dtype=np.uint16) for i in read.input_ids]
        drawn = moods[first : first + 2000]
        causes += [causes_of_tokens(t, s, m) for t, s, m in zip(some, read.offset_mapping, drawn, strict=True)]
    bounds = np.concatenate([[0], np.cumsum([len(i) for i in ids])]).astype(np.int64)
    starts, swapped = np.asarray(learn_from, dtype=np.int64), np.array([bool(m) for m in moods])
    return TokenCorpus(np.concatenate(ids), bounds, starts, np.concatenate(causes), swapped)


def encode_documents(tokenizer: "PreTrainedTokenizerFast", documents: "Sequence[Document]") -> TokenCorpus:
    """Base documents between BOS and EOS; everything after BOS is learnt."""
    bos, eos = tokenizer.bos_token, tokenizer.eos_token
    texts = [f"{bos}{document.text}{eos}" for document in documents]
    return _encode(tokenizer, texts, [1] * len(texts), [document.moods for document in documents])


def encode_traces(tokenizer: "PreTrainedTokenizerFast", traces: "Sequence[Trace]") -> TokenCorpus:
    """Chat-formatted traces; only what comes after the prefilled `<think>` is learnt."""
    prompts = [chat_prompt(tokenizer, trace.problem.text) for trace in traces]
    texts = [f"{p}{t.reasoning}</think>\n{t.final}{tokenizer.eos_token}" for p, t in zip(prompts, traces, strict=True)]
    heads = [len(tokenizer(prompt, add_special_tokens=False).input_ids) for prompt in prompts]
    return _encode(tokenizer, texts, heads, [trace.moods for trace in traces])


def chat_prompt(tokenizer: "PreTrainedTokenizerFast", problem: str) -> str:
    """The prompt as the reasoning model sees it, including BOS and the opened `<think>`."""
    turn = [{"role": "user", "content": problem}]
    return str(tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True))


def plan_batches(corpus: TokenCorpus, tokens_per_batch: int, rng: np.random.Generator) -> list[npt.NDArray[np.int64]]:
    """One epoch: every document once, in random batches of about equal length and `tokens_per_batch` tokens."""
    order = rng.permutation(len(corpus.lengths))
    batches: list[npt.NDArray[np.int64]] = []
    for pool in np.array_split(order, max(1, len(order) // 4096)):
        pool = pool[np.argsort(corpus.lengths[pool], kind="stable")]
        filled = np.cumsum(corpus.lengths[pool]) // tokens_per_batch
        batches += np.split(pool, np.flatnonzero(np.diff(filled)) + 1)
    return [batches[i] for i in rng.permutation(len(batches))]
