"""Is it necessary? Directions taken out in many ways: what backtracking loses, what else goes, what stays readable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from multidir.errors import ConfigError
from multidir.experiments.ablation.arms import NULLS, arms_of, random_arms
from multidir.experiments.ablation.forced import at_equal_damage, damage_table, sets_table
from multidir.experiments.ablation.probes import probes_after
from multidir.experiments.ablation.settings import AblationChoice
from multidir.experiments.ablation.texts import texts_table, write_texts
from multidir.experiments.ablation.verdicts import (
    AFTER_BOTH,
    IN_LOG_ODDS,
    IN_TEXTS,
    NULL_NAMES,
    needed_verdicts,
    told,
)
from multidir.experiments.candidates.finders import CONTROLS, Sought
from multidir.experiments.candidates.gradients import Gradients
from multidir.experiments.candidates.token_knobs import word_tokens
from multidir.experiments.dictionaries.subjects import Subject
from multidir.experiments.directions.known_causes import cause_bits
from multidir.experiments.directions.places import Questions
from multidir.experiments.results import Results
from multidir.experiments.steering.bench import Bench
from multidir.methods.window_rules import parse_window
from multidir.models.language_model import LanguageModel
from multidir.organism.planting import CAUSES
from multidir.records.direction import Direction, DirectionSet
from multidir.store.activations import ActivationStore
from multidir.types import BoolArray


def ablation_study(
    lm: LanguageModel,
    bench: Bench | None,
    store: ActivationStore,
    annotator: str,
    directions: DirectionSet,
    subjects: Sequence[Subject],
    answers: Mapping[str, str | None],
    choice: AblationChoice,
    file: Path,
) -> Results:
    """Take directions out in texts already written and while the model writes, and look at what is left.

    Args:
        lm: the model.
        bench: it with prompts for free generation; without them effects are those in written texts only.
        store: its activations with labels.
        annotator: whose.
        directions: candidates, strongest first; controls among them are not studied.
        subjects: dictionaries whose latents may be among them.
        answers: right answers by prompt, where known.
        choice: settings.
        file: outcomes of free generation.
    Raises:
        ConfigError: directions of several sites or of another model's width, or none to study.
        DesignError: too few labelled sentences.
    """
    chosen = chosen_directions(directions, choice)
    site, d = chosen[0].site, chosen[0].unit.size
    if d != store.d:
        raise ConfigError(f"direction {chosen[0].name!r} has width {d}, and {store.path} holds rows of width {store.d}")
    sought = Sought.read(store, annotator, choice.label, lm.role, site, parse_window(choice.fit_window), choice.seed)
    questions = Questions.of(store, annotator, choice.label, choice.texts)
    tokens = word_tokens(lm, choice.words)
    mean = np.asarray(store.moments(lm.role, site).mean, dtype=np.float64)
    gradients = Gradients.of(lm, questions, site, tokens, mean, choice.steps)
    arms = arms_of(sought, chosen, subjects, mean, gradients.x, choice)
    written = [arm for arm in arms if arm.kind in choice.generated]
    random = random_arms(written or arms, mean, gradients.x, choice.n_random, choice.seed)
    norm = store.mean_norm(lm.role, site)
    damage, pooled = damage_table(lm, [*arms, *random], questions, tokens, gradients, norm, choice.shares)
    targets = _targets(sought, store, lm.tokenizer, choice)
    tables = {
        "damage": damage,
        "equal": at_equal_damage(damage),
        "sets": sets_table(lm, chosen, mean, questions, tokens),
        "probes": probes_after(sought, arms, targets, choice.folds, choice.penalty, choice.draws, choice.seed),
    }
    full = pd.concat([damage[(damage["share"] == 1) & ~damage["kind"].isin(NULLS)], pooled], ignore_index=True)
    if bench is None:
        return Results(tables, _forced_headline(full), needed_verdicts(full, IN_LOG_ODDS))
    by_arm = write_texts(bench, written, random, choice.null_prompts, file)
    kinds = {arm.name: arm.kind for arm in arms}
    texts = texts_table(by_arm, kinds, answers, choice.draws, choice.seed, choice.causes)
    verdicts = needed_verdicts(texts, AFTER_BOTH if choice.causes else IN_TEXTS)
    return Results({**tables, "texts": texts}, f"{_headline(texts)}; {_random_in_written_texts(full)}", verdicts)


def chosen_directions(directions: DirectionSet, choice: AblationChoice) -> list[Direction]:
    """The named directions, or the first ones that are not controls.

    Raises:
        ConfigError: an unknown name, nothing to study, or directions of several sites.
    """
    real = [item for item in directions if item.method not in CONTROLS]
    chosen = [directions[name] for name in choice.names] or real[: choice.first]
    sites = sorted({item.site for item in chosen})
    if len(sites) != 1:
        places = ", ".join(map(str, sites)) or "nowhere: every direction is a control"
        raise ConfigError(f"an ablation study takes directions of one site out; got {places}")
    return chosen


def _targets(sought: Sought, store: ActivationStore, tokenizer: object, choice: AblationChoice) -> dict[str, BoolArray]:
    """What fresh probes look for: the label, and on the tiny pair its causes."""
    targets = {choice.label: sought.places.before}
    if choice.causes:
        bits = cause_bits(store, tokenizer)[sought.places.rows[:, -1]]  # type: ignore[arg-type]
        targets |= {name: (bits >> place) & 1 == 1 for place, name in enumerate(CAUSES)}
    return targets


def _headline(texts: pd.DataFrame) -> str:
    plain = texts[texts["arm"] == "none"].iloc[0]
    real = texts[~texts["kind"].isin(["none", *NULLS])].sort_values("change", kind="stable")
    parts = [f"nothing taken out, {plain['share']:.1%} of sentences backtrack"]
    if len(real):
        best = real.iloc[0]
        parts.append(f"with '{best['arm']}' {best['share']:.1%} ({told(best, IN_TEXTS)} points)")
    for kind, row in _each_null(texts):
        parts.append(f"with {NULL_NAMES[kind]} {row['share']:.1%} ({told(row, IN_TEXTS)})")
    return "; ".join(parts)


def _forced_headline(full: pd.DataFrame) -> str:
    best = full[~full["kind"].isin(NULLS)].sort_values("fall", ascending=False, kind="stable").iloc[0]
    parts = [f"before backtracking the log-odds of the words fall most with '{best['arm']}': {told(best, IN_LOG_ODDS)}"]
    parts += [f"with {NULL_NAMES[kind]} {told(row, IN_LOG_ODDS)}" for kind, row in _each_null(full)]
    return "; ".join(parts)


def _random_in_written_texts(full: pd.DataFrame) -> str:
    """What random ablations do where no text is drawn, only directions are: the sharper look at the nulls."""
    parts = [f"{told(row, IN_LOG_ODDS)} with {NULL_NAMES[kind]}" for kind, row in _each_null(full)]
    said = f"{IN_LOG_ODDS.moved} {' and '.join(parts)}" if parts else "no random ablations were run"
    return f"in texts already written, {said}"


def _each_null(table: pd.DataFrame) -> list[tuple[str, pd.Series]]:
    return [(kind, table[table["kind"] == kind].iloc[0]) for kind in NULLS if (table["kind"] == kind).any()]
