"""Everything that may be worth steering, in one set: found in many ways, screened, measured, and ordered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from multidir.experiments.candidates.effects import measured_effects, rank_agreement
from multidir.experiments.candidates.finders import (
    Candidate,
    Sought,
    axis_candidates,
    control_candidates,
    mean_candidates,
    probe_candidates,
)
from multidir.experiments.candidates.gradients import Gradients
from multidir.experiments.candidates.latents import latent_candidates
from multidir.experiments.candidates.settings import CandidateChoice
from multidir.experiments.candidates.token_knobs import KNOB, knob_scores, word_tokens
from multidir.experiments.density.text import keyword_tokens
from multidir.experiments.dictionaries.subjects import Subject
from multidir.experiments.directions.known_causes import cause_bits, found_sentence, labelled_causes, nearest_candidates
from multidir.experiments.directions.places import Questions
from multidir.experiments.results import Results
from multidir.methods.reason_score import spread
from multidir.methods.redundancy import groups, likeness, representatives, typicality
from multidir.methods.window_rules import parse_window
from multidir.models.language_model import LanguageModel
from multidir.records.direction import Direction, DirectionSet
from multidir.records.site import Site
from multidir.stats.clustered import mean_differences
from multidir.store.activations import ActivationStore
from multidir.types import FloatArray, IntArray

UNKNOWN = {f"{name}{end}": np.nan for name in ("add", "ablate") for end in ("", "_low", "_high", "_kl")}
"""Effects of a candidate that was not measured."""


@dataclass(frozen=True, eq=False)
class Found:
    """What the recipe writes."""

    directions: DirectionSet
    """One for each group that was measured, the strongest first, then the controls."""
    results: Results


def find_candidates(
    lm: LanguageModel, store: ActivationStore, annotator: str, subjects: Sequence[Subject], choice: CandidateChoice
) -> Found:
    """Find, screen, group, measure and order candidates for the model `lm`.

    Raises:
        DesignError: too few labelled sentences.
        ConfigError: words that no token writes, or a site that is not in the store.
    """
    site = Site.parse(choice.site)
    windows = [parse_window(text) for text in choice.windows]
    sought = Sought.read(store, annotator, choice.label, lm.role, site, windows[0], choice.seed)
    tokens = word_tokens(lm, choice.words)
    questions = Questions.of(store, annotator, choice.label, choice.texts)
    mean = np.asarray(store.moments(lm.role, site).mean, dtype=np.float64)
    gradients = Gradients.of(lm, questions, site, tokens, mean, choice.steps)
    pool = [
        *mean_candidates(sought, windows),
        *probe_candidates(sought, choice.penalty),
        *axis_candidates(sought, choice.principal, choice.independent, choice.seed),
        *latent_candidates(sought, subjects, _near_words(lm, store, choice), gradients, choice.latents),
        *control_candidates(sought, choice.controls, choice.seed),
    ]
    table = _screened(pool, sought, gradients, choice)
    table["knob"] = knob_scores(lm, np.stack([each.direction.unit for each in pool]), tokens, choice.seed)
    table["token_knob"] = table["knob"] > KNOB
    chosen = _to_measure(table, choice.measured)
    norms = {site: store.mean_norm(lm.role, site)}
    effects = measured_effects(lm, [pool[i] for i in chosen], questions, tokens, mean, norms, choice.dose)
    for name in UNKNOWN:
        table[name] = np.nan
        table.loc[chosen, name] = [effect[name] for effect in effects]
    table = _judged(table)
    directions = [_with_facts(pool[row["index"]].direction, row) for _, row in table.iterrows() if row["place"] > 0]
    controls = [each.direction for each in pool if each.is_control]
    tables = {"candidates": table, "agreement": rank_agreement(table)}
    headline = _headline(table)
    if choice.causes:
        truth = labelled_causes(sought.places, sought.x[lm.role], cause_bits(store, lm.tokenizer))
        tables["causes"] = nearest_candidates(truth, directions)
        headline += f"; {found_sentence(tables['causes'])}"
    return Found(DirectionSet([*directions, *controls]), Results(tables, headline))


def _near_words(lm: LanguageModel, store: ActivationStore, choice: CandidateChoice) -> IntArray:
    """(n,) which keyword a token of a reply is near: one before to two after it; -1 elsewhere, -2 in prompts."""
    word: IntArray = np.full(store.n_rows, -1, dtype=np.int64)
    for number, text in enumerate(choice.words):
        word[keyword_tokens(store, lm.tokenizer, [text])] = number
    word = spread(word, store.trace_index, 1, 2)
    for info in store.traces:
        word[info.row_start : info.row_start + info.n_prompt] = -2
    return word


def _screened(pool: Sequence[Candidate], sought: Sought, gradients: Gradients, choice: CandidateChoice) -> pd.DataFrame:
    """What is known of every candidate without running the model again for each."""
    units = np.stack([each.direction.unit for each in pool])
    readings = np.stack([each.readings for each in pool], axis=1)
    contrast = mean_differences(readings, sought.places.before, sought.places.trace)
    own = np.array([each.attribution for each in pool])
    attribution = np.where(np.isnan(own), gradients.of_directions(units), own)
    control = np.array([each.is_control for each in pool])
    group, typical = np.full(len(pool), -1), np.zeros(len(pool))
    alike = likeness(units[~control], readings[:, ~control])
    group[~control] = groups(alike, choice.alike)
    typical[~control] = typicality(alike, group[~control])
    columns: dict[str, Any] = {
        "name": [each.direction.name for each in pool],
        "method": [each.direction.method for each in pool],
        "role": [str(each.direction.source.get("role", "")) for each in pool],
        "control": control,
        "difference": contrast.value,
        "t": contrast.t,
        "reason_score": [each.reason_score for each in pool],
        "attribution": attribution,
        "integrated": gradients.of_directions(units, integrated=True),
        "stability": [each.stability for each in pool],
        "group": group,
    }
    table = pd.DataFrame(columns)
    table["members"] = table.groupby("group")["name"].transform(lambda names: " ".join(sorted(names)))
    table.loc[control, "members"] = ""
    table["representative"] = False
    table["screen"] = np.nan
    table.loc[~control, "screen"] = _screen(table[~control])
    speak = representatives(group[~control], typical[~control], table.loc[~control, "screen"].to_numpy())
    table.loc[np.flatnonzero(~control)[speak], "representative"] = True
    return table


def _screen(table: pd.DataFrame) -> FloatArray:
    """How promising a candidate is: its mean place by the size of its contrast and by that of its attribution."""
    sizes = [np.abs(np.nan_to_num(table[name].to_numpy())) for name in ("t", "attribution")]
    found: FloatArray = np.mean([rankdata(size) for size in sizes], axis=0)
    return found


def _to_measure(table: pd.DataFrame, count: int) -> list[int]:
    """Places of the representatives of the groups with the most promising members, and of all controls."""
    promise = table.groupby("group")["screen"].transform("max")
    speak = table[table["representative"]]
    order = np.argsort(-promise[table["representative"]].to_numpy(), kind="stable")[:count]
    return [*speak.index[order].tolist(), *table.index[table["control"]].tolist()]


def _judged(table: pd.DataFrame) -> pd.DataFrame:
    """Order by what adding does, and say who promotes and who suppresses.

    Adds `effect` (promotes | suppresses | unclear | not measured), `beyond_controls` and `place` (from 1; 0 for
    controls and for what was not measured); `index` is the place in the table that came in.
    """
    table = table.copy()
    table["effect"] = "unclear"
    table.loc[table["add_low"] > 0, "effect"] = "promotes"
    table.loc[table["add_high"] < 0, "effect"] = "suppresses"
    table.loc[table["add"].isna(), "effect"] = "not measured"
    null = table.loc[table["control"], "add"].abs().max()
    table["beyond_controls"] = table["add"].abs() > (0 if np.isnan(null) else null)
    real = table[~table["control"] & table["add"].notna()]
    order = real["add"].abs().sort_values(ascending=False, kind="stable").index
    table["place"] = 0
    table.loc[order, "place"] = np.arange(1, len(order) + 1)
    rest = table["place"].where(table["place"] > 0, len(table) + 1)
    return table.loc[rest.sort_values(kind="stable").index].reset_index()


def _with_facts(direction: Direction, row: pd.Series) -> Direction:
    numbers = ("t", "reason_score", "attribution", "add", "ablate", "stability", "knob")
    facts = {name: float(row[name]) for name in numbers if np.isfinite(row[name])}
    words = {
        "effect": str(row["effect"]),
        "members": str(row["members"]).split(),
        "token_knob": bool(row["token_knob"]),
    }
    return replace(direction, source={**direction.source, **facts, **words, "place": int(row["place"])})


def _headline(table: pd.DataFrame) -> str:
    real = table[~table["control"]]
    best = real.iloc[0]
    counts = real.loc[real["beyond_controls"], "effect"].value_counts()
    return (
        f"{len(real)} candidates in {real['group'].nunique()} groups; {counts.get('promotes', 0)} promote and "
        f"{counts.get('suppresses', 0)} suppress beyond every control; the strongest is {best['name']}, which adds "
        f"{best['add']:+.2f} [{best['add_low']:.2f}, {best['add_high']:.2f}] log-odds"
    )
