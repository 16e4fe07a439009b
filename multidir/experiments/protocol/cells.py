"""The cells of a combination study as edits of the residual stream: the directions themselves, and every control.

A cell is named by its doses, in multiples of each direction's own dose, and by the control that it belongs to. A
control has the doses of the cell that it stands beside, with other vectors of the same norm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from multidir.errors import DesignError
from multidir.experiments.protocol.design import protocol
from multidir.methods.control import random_directions
from multidir.models.language_model import LanguageModel
from multidir.models.unembedding import unembedding
from multidir.records.direction import Direction, DirectionSet
from multidir.records.intervention import Dose, Intervention
from multidir.records.outcome import Condition
from multidir.records.scope import Scope
from multidir.records.site import Site
from multidir.types import FloatArray

Doses = tuple[float, ...]
SCREENED = 3
"""Directions of the largest sets that are looked at first."""


@dataclass(frozen=True)
class StudyCell:
    """What is done in one cell."""

    control: str
    """Control that it belongs to; empty for the directions themselves."""
    doses: Doses
    """(k,) multiples of each direction's own dose."""
    edits: tuple[Intervention, ...] = ()

    def condition(self, target: str) -> Condition:
        """Its name in outcomes."""
        doses = " ".join(f"{dose:.3g}" for dose in self.doses)
        return Condition(target, f"{self.control or 'own'} [{doses}]", 1.0, "own")


@dataclass(frozen=True)
class Steering:
    """How a row of doses becomes edits: each direction's own dose, and where it is added."""

    own: Doses
    """(k,) own dose of each direction, relative to the mean residual norm at its site."""
    scope: Scope

    def cell(self, control: str, vectors: Sequence[Direction | None], doses: FloatArray) -> StudyCell:
        """A cell with these vectors in place of the directions."""
        edits = tuple(
            Intervention(vector, Dose(own * times, "relative"), scope=self.scope)
            for vector, own, times in zip(vectors, self.own, doses.tolist(), strict=True)
            if vector is not None and times
        )
        return StudyCell(control, tuple(doses.tolist()), edits)


def own_cells(directions: DirectionSet, steering: Steering) -> list[StudyCell]:
    """Factorial, ladders, pairs, and every direction with its sign flipped."""
    doses = protocol(len(directions), flips=True).doses
    return [steering.cell("", tuple(directions), row) for row in doses]


def screen_cells(directions: DirectionSet, steering: Steering) -> list[StudyCell]:
    """Every set of up to three directions, whatever the design: what the screen reads, without writing any text."""
    k = len(directions)
    sets = [members for size in range(SCREENED + 1) for members in combinations(range(k), size)]
    return [steering.cell("", tuple(directions), np.isin(np.arange(k), members).astype(np.float64)) for members in sets]


def factorial_cells(directions: DirectionSet, steering: Steering) -> list[StudyCell]:
    """Factorial alone: what is run on the other model."""
    doses = protocol(len(directions), ladders=False).doses
    return [steering.cell("", tuple(directions), row) for row in doses]


def control_cells(
    directions: DirectionSet,
    steering: Steering,
    tokens: Sequence[Direction],
    factors: Mapping[Site, FloatArray],
    n_random: int,
    seed: int,
) -> list[StudyCell]:
    """Everything that stands beside the directions.

    Args:
        directions: What is studied.
        steering: Own doses, scope.
        tokens: As many directions that write the behaviour's words, from `token_directions`; or none.
        factors: By site, centred activations (n, d): random vectors have their covariance.
        n_random: Pairs of random vectors, at the doses of the first two directions.
        seed: Of the random vectors.
    """
    k, rng = len(directions), np.random.default_rng(seed)
    random = [random_directions(n_random + 1, item, rng, factors.get(item.site)) for item in directions]
    one = np.eye(k)
    cells = list(_set(steering, "orthogonal", tuple(directions.orthogonalized())))
    cells += _set(steering, "token", tokens) if tokens else ()
    for j, item in enumerate(directions):
        vectors = [random[i][0] if i == j else other for i, other in enumerate(directions)]
        cells.append(steering.cell(f"beside:{item.name}", vectors, one[j]))
        cells += [steering.cell(f"beside:{item.name}", vectors, one[j] + one[i]) for i in range(k) if i != j]
    for number in range(1, n_random + 1):
        vectors = [drawn[number] for drawn in random]
        rows = (one[0], one[1], one[0] + one[1])
        cells += [steering.cell(f"random:{number}", vectors, row) for row in rows]
    return cells


def _set(steering: Steering, control: str, vectors: Sequence[Direction]) -> Iterator[StudyCell]:
    one = np.eye(len(vectors))
    for row in one:
        yield steering.cell(control, vectors, row)
    for i, j in combinations(range(len(vectors)), 2):
        yield steering.cell(control, vectors, one[i] + one[j])


def token_directions(lm: LanguageModel, directions: DirectionSet, words: Sequence[str]) -> list[Direction]:
    """Directions that write the behaviour's words straight into the logits, one word each; none if words are too few.

    The unembedding rows of a word's tokens less the mean row: what a token knob at the site would be.
    """
    head = unembedding(lm)
    found = [ids for word in words if (ids := word_tokens(head.tokens, (word,)))]
    if len(found) < len(directions):
        return []
    weight = head.weight.float()
    mean = weight.mean(0)
    vectors = [(weight[list(ids)].mean(0) - mean).double().cpu().numpy() for ids in found]
    return [
        replace(Direction.from_vector(f"token for {item.name}", vector, item.site, "token"), length=item.length)
        for item, vector in zip(directions, vectors, strict=False)
    ]


def word_tokens(texts: Sequence[str], words: Sequence[str]) -> tuple[int, ...]:
    """Ids of the tokens that are one of these words, in any case, with or without a space or a comma around it."""
    wanted = {word.lower() for word in words}
    return tuple(i for i, text in enumerate(texts) if text.strip(" ,.\n\u0120\u2581").lower() in wanted)


def wait_tokens(lm: LanguageModel, words: Sequence[str]) -> tuple[int, ...]:
    """Ids of the tokens with which a sentence of the behaviour may begin.

    Raises:
        DesignError: the vocabulary has none.
    """
    found = word_tokens(unembedding(lm).tokens, words)
    if not found:
        raise DesignError(f"no token of {lm.source} is one of {', '.join(words)}; name other words with --words")
    return found
