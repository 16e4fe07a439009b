"""The probe study of a store: the grid, the table at one place, transfer, early warning, and normals as directions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from multidir.errors import ConfigError
from multidir.experiments.dictionaries.train import dictionary_sources
from multidir.experiments.directions.causes import rule_scores
from multidir.experiments.directions.find import choose_annotator, chosen_sites
from multidir.experiments.probes.directions import normals
from multidir.experiments.probes.grid import fit_grid
from multidir.experiments.probes.settings import Probes
from multidir.experiments.probes.table import Place, Table, probe_table, rule_row
from multidir.experiments.probes.transfer import transfer_table
from multidir.experiments.probes.warning import early_warning, warning_sentence
from multidir.experiments.results import Results
from multidir.methods.probe_folds import grouped_folds
from multidir.methods.probe_logistic import Solver
from multidir.methods.probe_rows import find_rows
from multidir.records.direction import DirectionSet
from multidir.records.site import Site
from multidir.stats.estimate import Estimate
from multidir.store.activations import ActivationStore
from multidir.types import Role


@dataclass(frozen=True)
class Study:
    """What a probe study leaves."""

    results: Results
    directions: DirectionSet


def probe_study(
    store: ActivationStore, settings: Probes, dictionary: Path | None, draws: int, seed: int, solver: Solver
) -> Study:
    """Run everything on one store.

    Raises:
        ConfigError: the place of the table is not among the sites and offsets, or several dictionaries.
        DesignError: too few prompts with the label, or rows that hold nan.
    """
    sites, home, offsets = _places(store, settings)
    dictionary = _one(dictionary) if dictionary else None
    annotator = choose_annotator(store, settings.annotator)
    rows = find_rows(store, annotator, settings.label, (offsets[0], offsets[-1]), settings.category)
    folds = grouped_folds(rows.positive, rows.group, settings.folds, np.random.default_rng(seed))
    grid = fit_grid(store, rows, folds, sites, offsets, settings.penalties, solver)
    tables, directions, said = [], [], list[str]()
    for role in store.roles:
        at = Place(store, grid, role, home, settings.offset, solver)
        found = probe_table(at, settings, dictionary, draws, seed)
        tables.append(found.table)
        if settings.rule:
            tables.append(rule_row(rule_scores(store, annotator, rows, settings.rule), at, draws, seed))
        directions += normals(at, found.normals, annotator, settings.label)
        said += _odd(found, role, dictionary)
    table = pd.concat(tables, ignore_index=True)
    warnings = [early_warning(grid, role, home, settings.false_alarms, draws, seed) for role in store.roles]
    everything = {
        "probes": table,
        "grid": grid.table(settings.grid_draws, seed),
        "warning": pd.concat(warnings, ignore_index=True),
        "transfer": transfer_table(store, grid, home, settings.offset, solver, draws, seed),
    }
    remarks = (*rows.remarks, *folds.remarks, *dict.fromkeys(said))
    return Study(Results(everything, headline(table, everything["warning"]), remarks=remarks), DirectionSet(directions))


def _odd(found: Table, role: Role, dictionary: Path | None) -> Iterator[str]:
    """What a reader of the table would stumble over."""
    for kind, weight in found.normals.items():
        if not weight.any():
            yield f"the {kind} probe of the {role} model uses no channel: it has no direction"
    perfect = found.table.loc[(found.table["group"] == "probe") & (found.table["auroc"] == 1), "kind"]
    if len(perfect):
        yield (
            f"held-out sentences of the {role} model are separated perfectly ({', '.join(perfect)}): every resample "
            "says 1, so that no interval can be computed"
        )
    if dictionary is None:
        yield "no dictionary was given, so there are no k-sparse probes over latents"


def _places(store: ActivationStore, settings: Probes) -> tuple[tuple[Site, ...], Site, list[int]]:
    sites, offsets = chosen_sites(store, settings.sites), sorted(set(settings.offsets))
    home = Site.parse(settings.site)
    if home not in sites or settings.offset not in offsets:
        there = ", ".join(map(str, sites))
        raise ConfigError(
            f"the table is to be measured at {home} and offset {settings.offset}, and the probes are at {there} and "
            f"offsets {', '.join(map(str, offsets))}; set --site and --offset to some of these"
        )
    return sites, home, offsets


def _one(source: Path) -> Path:
    """The dictionary of a run of train/sae that has one, or of a folder."""
    found = dictionary_sources(str(source))
    if len(found) > 1:
        raise ConfigError(f"{source} holds several dictionaries ({', '.join(found)}); give the folder of one of them")
    return Path(next(iter(found.values())))


def headline(table: pd.DataFrame, warning: pd.DataFrame) -> str:
    """What the best model's logistic probe knows, beside the text, the ceiling and chance; and how early."""
    probes = table[table["kind"] == "logistic (L2)"].sort_values("auroc", ascending=False)
    best = probes.iloc[0]
    mine = table[table["role"] == best["role"]].set_index("kind")
    text = mine[mine["group"] == "text"].sort_values("auroc", ascending=False).iloc[0]
    ceiling = (
        f"; the planted rule permits {mine.loc['planted rule', 'auroc']:.3f}" if "planted rule" in mine.index else ""
    )
    early = warning[warning["role"] == best["role"]]
    auroc = Estimate(best["auroc"], best["auroc_low"], best["auroc_high"], int(best["n_prompts"]), "")
    return (
        f"a logistic probe of the {best['role']} model at {best['site']}, offset {best['offset']}, tells what is next "
        f"with AUROC {auroc:.3f} ({best['n_positive']:.0f} of {best['n_sentences']:.0f} sentences, "
        f"prompts held out); text alone reaches {text['auroc']:.3f}{ceiling}; {warning_sentence(early)}"
    )
