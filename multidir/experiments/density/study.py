"""Runs the density study on a store: every model's projections, their tables, and what they say about the claim."""

from __future__ import annotations

from typing import Any, Protocol

import pandas as pd
from transformers import PreTrainedTokenizerBase

from multidir.experiments.density.project import project_tokens
from multidir.experiments.density.tables import alarm_rows, announcing_tokens, density_rows, profile_rows
from multidir.experiments.density.text import keyword_tokens, shaded_rows
from multidir.experiments.directions.find import choose_annotator
from multidir.experiments.paper.claims import projections_are_dense
from multidir.experiments.results import Results
from multidir.experiments.settings import Means
from multidir.methods.window_rules import parse_window
from multidir.progress import each
from multidir.records.site import Site
from multidir.stats.estimate import percent
from multidir.store.activations import ActivationStore


class DensityScience(Protocol):
    """The settings of analysis/density."""

    @property
    def label(self) -> str: ...  # noqa: D102
    @property
    def site(self) -> str: ...  # noqa: D102
    @property
    def window(self) -> str: ...  # noqa: D102
    @property
    def means(self) -> Means: ...  # noqa: D102
    @property
    def keywords(self) -> tuple[str, ...]: ...  # noqa: D102
    @property
    def first(self) -> int: ...  # noqa: D102
    @property
    def last(self) -> int: ...  # noqa: D102
    @property
    def reach(self) -> int: ...  # noqa: D102
    @property
    def samples(self) -> int: ...  # noqa: D102
    @property
    def folds(self) -> int: ...  # noqa: D102
    @property
    def draws(self) -> int: ...  # noqa: D102
    @property
    def seed(self) -> int: ...  # noqa: D102


def density_results(store: ActivationStore, tokenizer: PreTrainedTokenizerBase, s: DensityScience) -> Results:
    """Tables `density`, `profile`, `alarms` and `shaded` of every model of a store, and the verdicts.

    Raises:
        DesignError: too few traces for the folds, or no sentence with the label.
        AlignmentError: the tokens of a trace do not spell its text in this tokenizer.
    """
    annotator, counted = choose_annotator(store), store.position > 0
    keywords, sentences = keyword_tokens(store, tokenizer, s.keywords), store.labels(annotator)
    announcing = announcing_tokens(store, annotator, s.label, s.reach)
    offsets, window = range(s.first, s.last + 1), parse_window(s.window)
    density, profile, alarms, shaded = [], [], [], []
    for role in each(store.roles, "projections", "model"):
        found = project_tokens(store, role, Site.parse(s.site), window, s.label, s.means, s.folds, s.seed)
        density += list(density_rows(found, counted, keywords))
        profile += list(profile_rows(store, annotator, found, s.label, offsets, s.draws, s.seed))
        alarms += list(alarm_rows(found, counted, announcing, store.trace_index, s.draws, s.seed))
        shaded += list(shaded_rows(store, found, tokenizer, sentences, s.label, s.samples))
    tables = {"density": density, "profile": profile, "alarms": alarms, "shaded": shaded}
    frames = {name: pd.DataFrame(rows) for name, rows in tables.items()}
    return Results(frames, density_headline(frames["alarms"]), projections_are_dense(frames["alarms"]))


def density_headline(alarms: pd.DataFrame) -> str:
    """How dense the projection is at the median of the tokens before the label."""
    return "; ".join(_dense_sentence(row) for row in alarms[alarms["quantile"] == 0.5].itertuples(index=False))


def _dense_sentence(row: Any) -> str:
    announcing = percent(row.precision, row.precision_low, row.precision_high)
    return (
        f"on the {row.role}-derived direction {row.share:.1%} of all tokens lie above the median token before the "
        f"label, and {announcing} of them announce one"
    )
