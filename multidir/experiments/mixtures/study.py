"""A study of learned mixtures: weights are learned, sought and compared, on texts and prompts that none has seen.

All contenders are brought to one p95 of the divergence elsewhere, and separately to one norm; what they gain where
they were chosen stands beside what they gain on other prompts with other seeds, so that the winner's curse is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from multidir.experiments.mixtures.bank import bank_of, chosen
from multidir.experiments.mixtures.contenders import Contender, learned, simpler
from multidir.experiments.mixtures.contest import Contest, Measured, frontier_table, norms_at
from multidir.experiments.mixtures.inputs import Benches, Inputs, Scene, benches_of, split_prompts_of, texts_with
from multidir.experiments.mixtures.learn import Learner, Texts
from multidir.experiments.mixtures.verdicts import decide, headline_of
from multidir.experiments.mixtures.whole import Matched
from multidir.experiments.mixtures.writing import contest_in_texts, sought
from multidir.experiments.results import Results
from multidir.experiments.steering.setup import read_norms
from multidir.models.blocks import width
from multidir.models.load import load_model
from multidir.records.direction import DirectionSet
from multidir.records.text import Sentence, Trace
from multidir.stats.bootstrap import draw_weights
from multidir.store.directions import load_directions
from multidir.store.rows import read_rows


@dataclass(frozen=True)
class Learned:
    """What was learned, what it was compared with, and how that came out."""

    directions: DirectionSet
    """Contenders whose length is their dose at the budget, in residual-stream units."""
    results: Results


def mixture_results(inputs: Inputs, file: Callable[[str], Path]) -> Learned:
    """Learn and compare, from run folders, on the model that is steered.

    Args:
        inputs: Folders and everything that changes numbers.
        file: From a name to where it is kept in the run folder.
    Raises:
        ConfigError: a search without problems, directions of another model, a budget that nothing meets.
        DesignError: directions that cannot be mixed, prompts on two sides, no word token, nothing learned.
        MissingExtra: a search without the package for it.
    """
    science, home, compute = inputs.science, inputs.pair.steered, inputs.compute
    directions = load_directions(inputs.directions / "directions.safetensors")
    directions = chosen(directions, science.names, science.k, science.layers)
    sentences = read_rows(inputs.labels / "sentences.jsonl", Sentence)
    traces = texts_with(read_rows(inputs.traces / "traces.jsonl", Trace), sentences, science.learning.texts)
    benches = benches_of(inputs, {trace.prompt_id for trace in traces})
    source = inputs.pair.source(home)
    lm = load_model(source, home, compute.device, compute.dtype) if benches is None else benches.confirm.lm
    norms = read_norms(inputs.directions / "norms.json", home)
    space, bank = bank_of(directions, norms, science.layers, width(lm.model))
    return learn_mixtures(Scene(lm, space, bank, science, compute.batch_tokens, file), traces, sentences, benches)


def learn_mixtures(
    scene: Scene, traces: Sequence[Trace], sentences: Sequence[Sentence], benches: Benches | None
) -> Learned:
    """Learn on some prompts, measure on the others.

    Raises:
        DesignError: too few prompts to hold some out, no sentence of the behaviour, or nothing learned.
    """
    science, objective = scene.science, scene.objective
    seen, held = split_prompts_of(traces, sentences, science.learning.held_out, science.seed)
    # a budget that nothing meets is refused here, and not after minutes of learning
    norms_at(scene.lm, scene.space, [objective.sign * scene.bank.rows.mean(axis=0)], [objective.budget], seen)
    learner = Learner(scene.lm, seen, scene.space, objective, scene.batch_tokens)
    items = [
        *learned(learner, scene.bank, science.learning),
        *simpler(learner, scene.bank, science.learning, science.seed),
    ]
    found = sought(scene, benches.search, seen) if benches and science.whole.generations else None
    if found is not None:
        items.insert(1, Contender.mixed("mixture by search", "search", scene.bank, found.weights))
    contest = _contest(scene, items, seen, held)
    tables: dict[str, pd.DataFrame] = {} if found is None else {"search": found.tried}
    if benches is not None:
        contest, tables["front"] = contest_in_texts(scene, contest, benches, seen, held)
    verdicts = decide(contest, science.suppress)
    table = contest.table()
    tables |= {"contest": table, "weights": weights_table(contest.contenders, scene.bank.names)}
    frontier = frontier_table(table)
    tables |= {} if frontier.empty else {"frontier": frontier}
    tables |= {} if contest.whole is None else {"texts": contest.whole.table(contest.contenders)}
    return Learned(_sized(scene, contest), Results(tables, headline_of(verdicts), verdicts))


def _contest(scene: Scene, items: Sequence[Contender], seen: Texts, held: Texts) -> Contest:
    science, vectors = scene.science, [one.vector for one in items]
    at_kl = norms_at(scene.lm, scene.space, vectors, [science.learning.budget] * len(items), seen)
    norms: dict[Matched, tuple[float, ...]] = {"KL": tuple(at_kl), "norm": (at_kl[0],) * len(items)}

    def measured(texts: Texts) -> dict[Matched, Measured]:
        return {
            matched: Measured.of(
                scene.lm,
                [scene.space.edits(one.name, one.vector, norm) for one, norm in zip(items, lengths, strict=True)],
                texts,
                scene.objective,
                scene.batch_tokens,
            )
            for matched, lengths in norms.items()
        }

    on_held = measured(held)
    weights = draw_weights(len(on_held["KL"].prompts), science.draws, np.random.default_rng(science.seed))
    return Contest(tuple(items), norms, measured(seen), on_held, weights)


def _sized(scene: Scene, contest: Contest) -> DirectionSet:
    return DirectionSet(
        replace(item, length=item.length * norm)
        for one, norm in zip(contest.contenders, contest.norms["KL"], strict=True)
        for item in scene.space.directions(one.name, one.vector)
    )


def weights_table(contenders: Sequence[Contender], names: Sequence[str]) -> pd.DataFrame:
    """Weights of the mixtures on the unit directions, each row a vector of length 1: the sparse frontier."""
    return pd.DataFrame(
        [
            {"contender": one.name, "n_used": one.n_used, **dict(zip(names, one.weights.tolist(), strict=True))}
            for one in contenders
            if one.kind in ("mixture", "path", "search") and one.weights is not None
        ]
    )
