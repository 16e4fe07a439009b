"""The probe study on traces with planted vectors: what is there is found, what is not is not, and nothing leaks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from multidir.errors import ConfigError, DesignError
from multidir.experiments.probes.grid import fit_grid
from multidir.experiments.probes.settings import Probes
from multidir.experiments.probes.study import Study, probe_study
from multidir.experiments.probes.table import Place, latent_acts, leaks, shuffled_within
from multidir.experiments.probes.warning import alarm
from multidir.methods.probe_folds import Folds, grouped_folds
from multidir.methods.probe_logistic import Solver
from multidir.methods.probe_rows import find_rows, prompt_groups
from multidir.records.site import Site
from multidir.records.text import Sentence, Trace
from multidir.sae.dictionary import Dictionary
from multidir.sae.folder import write_folder
from multidir.store.activations import ActivationStore
from multidir.store.spec import StoreSpec
from tests.methods.planted import ANNOTATOR, PLANTED, SITE, D, planted_store, sentences

SMALL = Probes(
    site=str(SITE),
    offset=-5,
    offsets=(-9, -5, -4, 1),
    folds=4,
    penalties=(1e-2, 1e-1),
    lasso_penalties=(0.1,),
    shrinkages=(0.1,),
    pool=3,
    pool_ridges=(1e-2,),
    shuffles=2,
    grid_draws=100,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    return planted_store(tmp_path_factory.mktemp("probes") / "store", (SITE, Site(2)), ("verbal", "causal"))


@pytest.fixture(scope="module")
def study(store: ActivationStore) -> Study:
    return probe_study(store, SMALL, None, 100, 0, Solver())


def row(table: pd.DataFrame, **where: object) -> pd.Series:
    for column, value in where.items():
        table = table[table[column] == value]
    assert len(table) == 1
    return table.iloc[0]


def test_the_grid_is_high_where_something_is_planted_and_at_chance_elsewhere(study: Study) -> None:
    grid = study.results.tables["grid"]
    assert len(grid) == 2 * 2 * 4
    for role in ("base", "reasoning"):
        for site in ("L1.resid_post", "L2.resid_post"):
            assert row(grid, role=role, site=site, offset=-5)["auroc_low"] > 0.6
            for offset in (-9, 1):
                cell = row(grid, role=role, site=site, offset=offset)
                assert cell["auroc_low"] < 0.53
                assert cell["auroc"] < 0.62
    assert grid["base_rate"].between(0.2, 0.4).all()


def test_every_kind_of_probe_beats_text_and_shuffled_labels(study: Study) -> None:
    table = study.results.tables["probes"]
    for role in ("base", "reasoning"):
        mine = table[table["role"] == role]
        probes = mine[mine["group"] == "probe"]
        assert set(probes["kind"]) == {
            *("logistic (L2)", "logistic (L1)", "difference of means", "LDA"),
            *("attention over the window", "maximum over the window", "logistic, place chosen inside"),
        }
        assert (probes["auroc"] > 0.75).all()
        assert (probes["auprc"] > probes["base_rate"] + 0.1).all()
        assert (probes["bits_low"] > 0).all()
        text = mine[mine["group"] == "text"]
        assert (text["auroc"] < 0.65).all()
        assert (text["bits"] < 0.05).all()
        assert row(mine, kind="labels shuffled within traces")["auroc"] == pytest.approx(0.5, abs=0.1)
        assert row(mine, kind="selectivity (difference)")["auroc_low"] > 0.15


def test_a_window_is_no_handicap_and_labels_that_do_not_go_with_prompts_do_not_leak(study: Study) -> None:
    table = study.results.tables["probes"]
    for role in ("base", "reasoning"):
        mine = table[table["role"] == role].set_index("kind")["auroc"]
        for kind in ("attention over the window", "maximum over the window"):
            assert mine[kind] > mine["logistic (L2)"] - 0.02
        assert abs(mine["leak (difference)"]) < 0.04


def fingerprints(path: Path, width: int = 48) -> ActivationStore:
    """Every trace has a vector of its own and a rate of its own, and nothing tells its sentences apart."""
    rng = np.random.default_rng(1)
    spec = StoreSpec(models={"base": {"fingerprint": "x"}}, sites=(SITE,), d=width, dtype="float32", shard_rows=2000)
    traces = [Trace(f"t{i}", f"p{i}", "verbal", (i, *range(1, 200)), 5, "x" * 200) for i in range(40)]
    everything = []
    with ActivationStore.create(path, spec, traces) as writer:
        for trace, rate in zip(traces, rng.permutation(np.repeat([0.1, 0.6], 20)), strict=True):
            own = 1.5 * rng.normal(size=width) + rng.normal(size=(200, width))
            writer.append(trace.id, {("base", SITE): own.astype(np.float32)})
            labels = np.where(rng.random(18) < rate, "backtracking", "deduction")
            spans = [(10 * i, 10 * i + 10) for i in range(2, 20)]
            everything += [
                Sentence(trace.id, i, *span, *span, str(label), ANNOTATOR)
                for i, (span, label) in enumerate(zip(spans, labels, strict=True))
            ]
    opened = ActivationStore.open(path)
    opened.put_labels(ANNOTATOR, everything)
    return opened


def test_fingerprints_of_prompts_leak_where_prompts_are_split_and_only_there(tmp_path: Path) -> None:
    store = fingerprints(tmp_path / "s")
    rows = find_rows(store, ANNOTATOR, "backtracking", (-9, 1))
    folds = grouped_folds(rows.positive, rows.group, 4, np.random.default_rng(0))
    at = Place(store, fit_grid(store, rows, folds, [SITE], [-5], [0.1], Solver()), "base", SITE, -5, Solver())
    honest = at.grid.table(200, 0).iloc[0]
    mine = pd.DataFrame(leaks(at, at.x(), at.grid.cells["base", SITE, -5].held, SMALL, 200, 0)).set_index("kind")
    for whole in (honest, mine.loc["tokens, prompts whole"]):
        assert whole["auroc_low"] < 0.5 < whole["auroc_high"]
    for split in ("prompts split over folds", "tokens split over folds"):
        assert mine.loc[split, "auroc_low"] > 0.6
    for gap in ("leak (difference)", "leak by tokens (difference)"):
        assert mine.loc[gap, "auroc_low"] > 0


def test_normals_are_directions_that_know_where_they_come_from(store: ActivationStore, study: Study) -> None:
    assert set(study.directions.names) >= {
        *(f"reasoning/probe-{k} L1.resid_post -5" for k in ("logistic", "lasso", "difference", "lda")),
        "base/probe-logistic L2.resid_post -5",
    }
    # categories alternate, and the second one's vector lies along other axes
    planted = PLANTED["base"] + np.roll(PLANTED["base"], 2)
    found = study.directions["base/probe-logistic L1.resid_post -5"]
    assert found.unit @ planted / np.linalg.norm(planted) > 0.6
    assert found.source["store"] == store.content_hash
    assert (found.source["kind"], found.source["offsets"], found.method) == ("logistic", [-5, -5], "probe")
    assert 0.7 < found.source["auroc_held_out"] < 1
    x = find_rows(store, ANNOTATOR, "backtracking", (-9, 1))
    along = x.read(store, "base", SITE, -5) @ found.unit
    assert found.length == pytest.approx(along[x.positive].mean() - along[~x.positive].mean(), rel=1e-5)


def test_transfer_to_the_other_category_is_worse_than_at_home(study: Study) -> None:
    table = study.results.tables["transfer"]
    unseen = table[table["kind"] == "category"]
    assert set(unseen["to"]) == {"verbal", "causal"}
    assert (unseen["auroc"] < unseen["own"] - 0.1).all()
    crossed = row(table, kind="model", role="base", to="reasoning")
    assert 0.6 < crossed["auroc"] <= crossed["own"] + 0.05


def test_one_category_alone_is_easier(store: ActivationStore) -> None:
    rows = find_rows(store, ANNOTATOR, "backtracking", (-9, 1), "verbal")
    assert {rows.categories[c] for c in rows.category} == {"verbal"}
    folds = grouped_folds(rows.positive, rows.group, 4, np.random.default_rng(0))
    grid = fit_grid(store, rows, folds, [SITE], [-5], [0.1], Solver())
    assert grid.table(50, 0)["auroc"].min() > 0.85


def test_an_alarm_keeps_to_its_rate_and_goes_off_when_the_planted_tokens_come(study: Study) -> None:
    table = study.results.tables["warning"]
    some = table[(table["role"] == "reasoning") & (table["allowed"] == 0.1)].set_index("offset")
    assert list(some.index) == [-9, -5, -4]
    assert some["false_alarms"].between(0.04, 0.2).all()
    assert some.loc[-9, "caught"] < 0.3 < some.loc[-5, "caught"]
    assert (some["ahead"] <= some["caught"]).all()
    assert some.loc[-4, "ahead"] == some.loc[-4, "caught"]


def test_a_threshold_comes_from_the_other_folds() -> None:
    folds = Folds(np.repeat(np.arange(4), 25), 4)
    log_odds = np.arange(100.0)
    on = alarm(log_odds, np.zeros(100, bool), folds, 0.1)
    assert np.flatnonzero(on).tolist() == list(range(75, 100))


def test_shuffling_keeps_the_positives_of_every_trace() -> None:
    rng = np.random.default_rng(0)
    trace, labels = rng.integers(0, 20, 300), rng.random(300) < 0.3
    mixed = shuffled_within(labels, trace, rng)
    assert np.array_equal(np.bincount(trace, weights=labels), np.bincount(trace, weights=mixed))
    assert not np.array_equal(labels, mixed)


def small_store(path: Path, tokens: dict[str, int], shift: float = 0) -> ActivationStore:
    """Noise; trace `name` of prompt p-`name` has the tokens of a seed. Before the label all rows are shifted."""
    spec = StoreSpec(models={"base": {"fingerprint": "x"}}, sites=(SITE,), d=D, dtype="float32", shard_rows=500)
    rng = np.random.default_rng(0)
    ids = {name: np.random.default_rng(seed).integers(0, 50, 120).tolist() for name, seed in tokens.items()}
    traces = [Trace(name, f"p-{name}", "verbal", tuple(own), 5, "x" * 120) for name, own in ids.items()]
    everything = []
    with ActivationStore.create(path, spec, traces) as writer:
        for trace in traces:
            own, x = sentences(trace.id, rng), rng.normal(size=(120, D)).astype(np.float32)
            for sentence in own:
                x[sentence.token_start - 9 : sentence.token_start + 1] += shift * (sentence.label == "backtracking")
            writer.append(trace.id, {("base", SITE): x})
            everything += own
    opened = ActivationStore.open(path)
    opened.put_labels(ANNOTATOR, everything)
    return opened


def test_a_trace_under_two_prompts_makes_them_one_group(tmp_path: Path) -> None:
    store = small_store(tmp_path / "s", {"a": 1, "b": 2, "c": 1, "d": 3})
    group, remarks = prompt_groups(store)
    assert group[0] == group[2]
    assert len(set(group.tolist())) == 3
    assert remarks == ("1 traces are duplicates of a trace of another prompt, taken as one group: a = c",)
    rows = find_rows(store, ANNOTATOR, "backtracking", (-3, -1))
    assert any("taken as one group" in remark for remark in rows.remarks)


def test_a_probe_without_channels_points_nowhere_and_both_that_and_missing_latents_are_said(
    store: ActivationStore,
) -> None:
    found = probe_study(store, replace(SMALL, lasso_penalties=(1e-6,)), None, 50, 0, Solver())
    assert not [item.name for item in found.directions if "lasso" in item.name]
    assert [item.name for item in found.directions if "difference" in item.name]
    assert "the lasso probe of the base model uses no channel: it has no direction" in found.results.remarks
    assert sum("no k-sparse probes" in remark for remark in found.results.remarks) == 1


def test_perfect_separation_has_a_sentence_instead_of_an_interval(tmp_path: Path) -> None:
    store = small_store(tmp_path / "s", {name: i for i, name in enumerate("abcdefgh")}, shift=1000)
    found = probe_study(store, SMALL, None, 50, 0, Solver())
    assert "AUROC 1.000 [not estimable]" in found.results.headline
    assert any("separated perfectly (logistic (L2)" in remark for remark in found.results.remarks)


def test_too_few_prompts_are_refused_before_anything_is_fitted(tmp_path: Path) -> None:
    store = small_store(tmp_path / "s", {"a": 1, "b": 2})
    with pytest.raises(DesignError, match="needs 3 folds with both classes"):
        probe_study(store, SMALL, None, 50, 0, Solver())


def test_a_label_that_nobody_has_and_a_place_that_is_not_there_are_refused(store: ActivationStore) -> None:
    with pytest.raises(DesignError, match=r"0 of the .* labelled 'musing'.* There are labels backtracking, "):
        probe_study(store, replace(SMALL, label="musing"), None, 50, 0, Solver())
    with pytest.raises(DesignError, match=r"0 of the 0 sentences of category x .*; categories causal, verbal"):
        probe_study(store, replace(SMALL, category="x"), None, 50, 0, Solver())
    with pytest.raises(ConfigError, match="offset -7, and the probes are at"):
        probe_study(store, replace(SMALL, offset=-7), None, 50, 0, Solver())
    with pytest.raises(DesignError, match="take a smaller --pool"):
        probe_study(store, replace(SMALL, pool=9), None, 50, 0, Solver())
    with pytest.raises(ConfigError, match="and --folds 2 at least 3"):
        replace(SMALL, folds=2)
    with pytest.raises(ConfigError, match="--pool 0 at least 1"):
        replace(SMALL, pool=0)
    with pytest.raises(ConfigError, match=r"an offset before the sentence .*; got --offsets \(0,\)"):
        replace(SMALL, offset=0, offsets=(0,))
    with pytest.raises(ConfigError, match="--lasso-penalties --ks need a value"):
        replace(SMALL, lasso_penalties=(), ks=())


@pytest.mark.parametrize("roles", [["reasoning"], ["base"], None])
def test_probes_on_a_dictionary_of_the_other_model_say_so(
    store: ActivationStore, tmp_path: Path, roles: list[str] | None
) -> None:
    eye = torch.eye(D)
    facts = {} if roles is None else {"multidir": {"roles": roles}}
    write_folder(tmp_path, Dictionary("standard", eye, torch.zeros(D), eye.clone(), torch.zeros(D), facts=facts))
    rows = store.rows("base", SITE, slice(0, 400))
    at = Place(store, None, "base", SITE, -5, Solver())  # type: ignore[arg-type]
    kind, acts = latent_acts(tmp_path, at, rows)
    assert kind == "k-sparse over latents" + " of reasoning" * (roles == ["reasoning"])
    assert np.array_equal(acts, rows.clip(0))


def test_a_run_with_one_dictionary_gives_a_sparse_probe_and_one_with_none_or_two_is_refused(
    store: ActivationStore, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match="holds no SAE folder"):
        probe_study(store, SMALL, tmp_path, 50, 0, Solver())
    eye = torch.eye(D)
    identity = Dictionary("standard", eye, torch.zeros(D), eye.clone(), torch.zeros(D))
    write_folder(tmp_path / "first", identity)
    found = probe_study(store, replace(SMALL, ks=(1, 4)), tmp_path, 50, 0, Solver())
    table = found.results.tables["probes"].set_index(["role", "kind"])
    assert table.loc[("base", "k-sparse over latents"), "auroc_low"] > 0.5
    assert not any("no k-sparse" in remark for remark in found.results.remarks)
    write_folder(tmp_path / "second", identity)
    with pytest.raises(ConfigError, match=r"several dictionaries \(first, second\)"):
        probe_study(store, SMALL, tmp_path, 50, 0, Solver())
