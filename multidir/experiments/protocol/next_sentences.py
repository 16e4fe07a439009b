"""The next sentence after a fixed text: how likely it is to begin with the behaviour's tokens, under every condition.

Unsteered texts are read with every edit, and after each of their sentences the model is asked how it would go on.
Nothing is generated, so that hundreds of cells take seconds; but what steering does to the sentences in between, and
what those do to later ones, does not enter. `draw` turns the probabilities into counts, with the same random
numbers in all cells of a prompt, as rollouts have the same seeds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.special import expit

from multidir.annotate.base import Annotator
from multidir.errors import DesignError
from multidir.experiments.corpus.labels import label_traces, reasoning_texts
from multidir.experiments.protocol.cells import StudyCell
from multidir.models.forced import Context
from multidir.models.language_model import LanguageModel
from multidir.models.special import SpecialMap
from multidir.progress import progress
from multidir.records.site import Site
from multidir.records.text import Sentence, Trace
from multidir.steer.forced import teacher_forced
from multidir.steer.sweep import row_seed
from multidir.store.rows import append_rows, read_rows, repair_tail
from multidir.types import IntArray

CHUNK = 8
"""Texts read between two writes to disk."""


@dataclass(frozen=True)
class NextSentences:
    """What one text would go on with, after each of its sentences, in one cell."""

    key: str
    """Key of the condition."""
    prompt_id: str
    log_odds: tuple[float, ...]
    """Of the behaviour's tokens, one per sentence."""

    def draw(self, draws: int, seed: int, shift: float = 0.0) -> IntArray:
        """(draws, m) 1 where a sentence would begin with one of the tokens, `shift` added to their log-odds."""
        rng = np.random.default_rng(row_seed(seed, self.prompt_id, 0))
        lucky = rng.random((draws, len(self.log_odds))) < expit(np.array(self.log_odds) + shift)
        return np.asarray(lucky, dtype=np.int64)


@dataclass(frozen=True)
class Asked:
    """A text, where in it the next sentence is asked, and what was written just before."""

    context: Context
    before: tuple[Sentence | None, ...]
    """(m,) the sentence that ends there; None at the start of the reply."""
    text: str
    """The reasoning part, which the sentences are spans of."""


def sentence_ends(lm: LanguageModel, traces: Sequence[Trace], annotator: Annotator) -> dict[str, Asked]:
    """By prompt, a text and the positions that make the first token of each of its sentences.

    Raises:
        DesignError: no text has a sentence.
    """
    found = {}
    texts = reasoning_texts(traces, lm.tokenizer)
    for trace, text, sentences in zip(traces, texts, label_traces(traces, annotator, lm.tokenizer), strict=True):
        pairs = zip((None, *sentences), sentences, strict=False)
        before = {now.token_start - 1: last for last, now in pairs if now.token_start > trace.n_prompt}
        if before:
            at = tuple(sorted(before))
            context = Context(trace.token_ids, at, trace.n_prompt)
            found[trace.prompt_id] = Asked(context, tuple(before[place] for place in at), text)
    if not found:
        raise DesignError(f"none of {len(traces)} unsteered texts has a sentence, so there is nowhere to ask")
    return found


def mapped(asked: Mapping[str, Asked], special: SpecialMap) -> dict[str, Asked]:
    """The same texts for a model with other special tokens."""
    return {
        name: replace(each, context=replace(each.context, ids=tuple(special.apply(each.context.ids))))
        for name, each in asked.items()
    }


def read_next(
    lm: LanguageModel,
    asked: Mapping[str, Asked],
    cells: Sequence[StudyCell],
    tokens: Sequence[int],
    mean_norms: Mapping[Site, float],
    seed: int,
    batch_tokens: int,
    file: Path,
) -> list[NextSentences]:
    """Ask what is not yet in `file`, and return all of these cells and texts from it.

    Args:
        asked: by prompt, from `sentence_ends`.
        cells: what is done.
        tokens: ids whose log-odds are asked.
        mean_norms: by site, for relative doses.
        seed: for operators that draw.
        batch_tokens: tokens of a pass.
        file: results so far.
    """
    repair_tail(file)
    keys = [cell.condition(lm.role).key for cell in cells]
    wanted = {(key, name) for key in keys for name in asked}
    rows = read_rows(file, NextSentences) if file.exists() else []
    done = {(row.key, row.prompt_id): row for row in rows if (row.key, row.prompt_id) in wanted}
    todo = [name for name in asked if any((key, name) not in done for key in keys)]
    mixtures = [cell.edits or None for cell in cells]
    with progress(len(todo), f"{lm.role} model, {len(cells)} conditions", "text") as bar:
        for first in range(0, len(todo), CHUNK):
            names = todo[first : first + CHUNK]
            found = teacher_forced(
                lm, [asked[name].context for name in names], mixtures, tokens, mean_norms, seed, batch_tokens
            )
            made = [
                NextSentences(key, name, tuple(odds.tolist()))
                for name, forced in zip(names, found, strict=True)
                for key, odds in zip(keys, forced.log_odds, strict=True)
            ]
            append_rows(file, [row for row in made if (row.key, row.prompt_id) not in done])
            done |= {(row.key, row.prompt_id): row for row in made}
            bar.update(len(names))
    return [done[key, name] for key in keys for name in asked]


def by_cell(found: Iterable[NextSentences]) -> dict[str, list[NextSentences]]:
    """Results of each cell, by the key of its condition."""
    cells: dict[str, list[NextSentences]] = {}
    for row in found:
        cells.setdefault(row.key, []).append(row)
    return cells
