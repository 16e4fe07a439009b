"""Which directions stand in a text already where its next sentence is asked: what a combination study is split by.

    projection   the mean projection of the last tokens before it, unsteered, is above its median over all places
    label        the sentence before has the label that the direction was found by
    cause        the tiny pair's grammar: the step before has this cause

A push makes a cause present only where it is absent. Where one of the two stands in the text, pushing the other alone
completes the pair, and an average over all places mixes the four cells of the table that the study is about. All three
are known before anything is pushed, so that nothing is selected on what steering did.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import numpy as np

from multidir.errors import DesignError
from multidir.experiments.combination.outcomes_table import JOIN, UNKNOWN
from multidir.experiments.protocol.next_sentences import Asked
from multidir.models.capture import capture
from multidir.models.language_model import LanguageModel
from multidir.organism.grammar import StepFacts, parse
from multidir.records.direction import Direction, DirectionSet
from multidir.types import FloatArray

Way = Literal["projection", "label", "cause", "none"]
"""How it is told; `none`: it is not."""
Stands = Mapping[str, FloatArray]
"""By prompt, (m, k) float64: 1 where a direction stands, 0 where it does not, nan where nobody can say."""
WINDOW = 3
"""Tokens before the sentence whose projection is averaged."""
CAUSES: dict[str, Callable[[StepFacts], bool]] = {
    "hesitation": lambda step: step.hesitates,
    "mistake": lambda step: step.mistaken,
}


def standing(way: Way, lm: LanguageModel, asked: Mapping[str, Asked], directions: DirectionSet) -> Stands | None:
    """What stands at every place; None where it is not told.

    Args:
        way: how it is told.
        lm: the model that reads the texts unsteered.
        asked: by prompt, from `sentence_ends`.
        directions: k of them; for `label` and `cause` those that were found by a label.
    Raises:
        DesignError: a direction was found by no label, or by one that is no cause of the tiny pair.
    """
    if way == "none":
        return None
    if way == "projection":
        return _by_projection(lm, asked, directions)
    labels = [_label(item, way) for item in directions]
    tell = _labelled if way == "label" else _caused
    return {name: np.array([list(row) for row in tell(each, labels)], dtype=np.float64) for name, each in asked.items()}


def pattern(row: FloatArray, names: Iterable[str]) -> str:
    """What stands at one place, as the outcomes table writes it: names joined by ` + `, or `unknown`."""
    if np.isnan(row).any():
        return UNKNOWN
    return JOIN.join(name for name, there in zip(names, row, strict=True) if there)


def _by_projection(lm: LanguageModel, asked: Mapping[str, Asked], directions: DirectionSet) -> Stands:
    names, sites = list(asked), sorted({item.site for item in directions})
    found: dict[str, FloatArray] = {}
    for index, rows in capture(lm, [asked[name].context.read for name in names], sites):
        at = np.array(asked[names[index]].context.at)
        window = np.maximum(at[:, None] - np.arange(WINDOW), 0)
        means = {site: rows[site].double().numpy()[window].mean(axis=1) for site in sites}
        found[names[index]] = np.column_stack([means[item.site] @ item.unit for item in directions])
    middle = np.median(np.concatenate(list(found.values())), axis=0)
    return {name: (values > middle).astype(np.float64) for name, values in found.items()}


def _label(item: Direction, way: Way) -> str:
    label = str(item.source.get("label", ""))
    if not label or (way == "cause" and label not in CAUSES):
        what = f"was found by the label {label!r}" if label else "was found by no label"
        causes = f"; the tiny pair's causes are {', '.join(CAUSES)}" if way == "cause" else ""
        raise DesignError(
            f"--standing {way} cannot tell where {item.name} stands in a text, because it {what}{causes}; "
            "split by --standing projection"
        )
    return label


def _labelled(each: Asked, labels: list[str]) -> Iterable[list[float]]:
    for sentence in each.before:
        known = sentence is not None and sentence.label is not None
        yield [float(sentence.label == label) if known and sentence else np.nan for label in labels]


def _caused(each: Asked, labels: list[str]) -> Iterable[list[float]]:
    """Only a step has causes: after anything else there is nothing to take back."""
    steps = {sentence.start: sentence.step for sentence in parse(each.text)}
    for sentence in each.before:
        step = None if sentence is None else steps.get(sentence.char_start)
        yield [np.nan if step is None else float(CAUSES[label](step)) for label in labels]
