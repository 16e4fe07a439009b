"""Projections along traces where the direction is planted, where nothing is, and on real tokens of a real tokenizer."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from multidir.experiments.density.project import project_tokens
from multidir.experiments.density.study import density_results
from multidir.experiments.density.tables import GROUPS, alarm_rows, announcing_tokens, density_rows, profile_rows
from multidir.experiments.density.text import keyword_tokens, shaded_rows
from multidir.experiments.paper.claims import projections_are_dense
from multidir.experiments.settings import Means
from multidir.models.align import decode_text
from multidir.records.site import Site
from multidir.records.text import Sentence, Trace
from multidir.records.verdict import Status
from multidir.store.activations import ActivationStore
from multidir.store.spec import StoreSpec
from tests.methods.planted import ANNOTATOR, N_TRACES, OFFSETS, SITE, planted_store
from tests.models.tiny import tiny_tokenizer

LABEL = "backtracking"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    return planted_store(tmp_path_factory.mktemp("density") / "store")


def projected(store: ActivationStore, window: tuple[int, int] = OFFSETS):
    return project_tokens(store, "base", SITE, window, LABEL, Means(), 5, 0)


def test_projections_are_in_standard_deviations_and_high_where_planted(store: ActivationStore) -> None:
    found, counted = projected(store), store.position > 0
    assert found.z[counted].mean() == pytest.approx(0, abs=1e-9)
    assert found.z[counted].std() == pytest.approx(1)
    assert found.z[found.before].mean() > 1.2
    assert abs(found.z[found.elsewhere].mean()) < 0.2
    assert not (found.before & found.elsewhere).any()
    assert found.before.sum() == 3 * sum(s.label == LABEL for s in store.labels(ANNOTATOR))


def test_the_profile_rises_in_the_planted_window_only(store: ActivationStore) -> None:
    table = pd.DataFrame(profile_rows(store, ANNOTATOR, projected(store), LABEL, range(-9, 3), 100, 0))
    table = table.set_index("offset")
    inside = table.loc[OFFSETS[0] : OFFSETS[1]]
    outside = table.drop(inside.index)
    assert (inside["auroc_low"] > 0.7).all()
    assert ((outside["auroc"] - 0.5).abs() < 0.12).all()
    assert (inside["mean_low"] > inside["other_high"]).all()


def test_noise_is_not_separated_by_its_own_direction(store: ActivationStore) -> None:
    """In a window where nothing was planted, a direction that saw the trace would still rise there."""
    table = pd.DataFrame(profile_rows(store, ANNOTATOR, projected(store, (1, 2)), LABEL, [1, 2], 100, 0))
    assert ((table["auroc"] - 0.5).abs() < 0.1).all()


def test_histograms_count_every_token_of_every_group_once(store: ActivationStore) -> None:
    found, counted = projected(store), store.position > 0
    keywords = np.zeros(store.n_rows, dtype=bool)
    table = pd.DataFrame(density_rows(found, counted, keywords))
    counts = table.groupby("group")["count"].sum()
    assert counts["all tokens"] == store.n_rows - N_TRACES
    assert counts["before the label"] == (found.before & counted).sum()
    assert counts["keywords"] == 0
    assert table[table["group"] == "keywords"]["share"].isna().all(), "no token is not a share of zero"
    shares = table[table["group"] != "keywords"].groupby("group")["share"].sum()
    np.testing.assert_allclose(shares, 1, rtol=1e-12)
    assert tuple(dict.fromkeys(table["group"])) == GROUPS


def test_alarms_are_counted_by_hand(store: ActivationStore) -> None:
    found, counted = projected(store), store.position > 0
    announcing = announcing_tokens(store, ANNOTATOR, LABEL, 6)
    table = pd.DataFrame(alarm_rows(found, counted, announcing, store.trace_index, 100, 0)).set_index("quantile")
    level = np.median(found.z[found.before & counted])
    above = (found.z >= level) & counted
    row = table.loc[0.5]
    assert row["share"] == pytest.approx(above.sum() / counted.sum())
    assert row["precision"] == pytest.approx((above & announcing).sum() / above.sum())
    assert row["precision_low"] < row["precision"] < row["precision_high"]
    assert row["precision"] > 2 * row["base_rate"]
    assert table["share"].is_monotonic_decreasing


def test_a_token_announces_what_starts_soon_in_its_own_trace(store: ActivationStore) -> None:
    by_hand = np.zeros(store.n_rows, dtype=bool)
    for sentence in store.labels(ANNOTATOR):
        rows = store.trace_rows(sentence.trace_id)
        if sentence.label == LABEL:
            for position in range(sentence.token_start - 7, sentence.token_start):
                by_hand[rows.start + position] |= position >= 0
    np.testing.assert_array_equal(announcing_tokens(store, ANNOTATOR, LABEL, 7), by_hand)


@pytest.mark.parametrize(
    ("precision", "low", "high", "status"),
    [
        (0.1, 0.05, 0.2, Status.SUPPORTED),
        (0.8, 0.7, 0.9, Status.REFUTED),
        (0.5, 0.4, 0.6, Status.UNDETERMINED),
        (0.1, np.nan, np.nan, Status.UNDETERMINED),
    ],
)
def test_dense_means_that_most_alarms_are_false(precision: float, low: float, high: float, status: Status) -> None:
    row = {"role": "base", "quantile": 0.5, "share": 0.2, "base_rate": 0.05, "n_traces": 30}
    alarms = pd.DataFrame([{**row, "precision": precision, "precision_low": low, "precision_high": high}])
    (verdict,) = projections_are_dense(alarms)
    assert verdict.status is status
    assert "20.0% project higher" in verdict.because


TEXT = "Hmm, maybe the café sells. Wait, that is not right. Go back, waiting."


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory):
    """Two traces of real tokens with two labelled sentences each, and their tokenizer."""
    tokenizer = tiny_tokenizer()
    prompt, body = (0, 3, 5), tuple(tokenizer(TEXT, add_special_tokens=False).input_ids)
    assert decode_text(tokenizer, body) == TEXT
    rng = np.random.default_rng(1)
    spec = StoreSpec(models={"base": {"fingerprint": "x"}}, sites=(Site(0),), d=4, dtype="float32")
    path = tmp_path_factory.mktemp("written") / "store"
    sentences, n = [], len(prompt) + len(body)
    names = ("a", "b", "c", "d")
    traces = [Trace(name, name, "verbal", prompt + body, len(prompt), TEXT) for name in names]
    with ActivationStore.create(path, spec, traces) as writer:
        for name in names:
            writer.append(name, {("base", Site(0)): rng.normal(size=(n, 4)).astype(np.float32)})
            sentences.append(Sentence(name, 0, 0, 26, 3, n // 2, "deduction", "hand/1"))
            sentences.append(Sentence(name, 1, 27, len(TEXT), n // 2, n, LABEL, "hand/1"))
    opened = ActivationStore.open(path)
    opened.put_labels("hand/1", sentences)
    return opened, tokenizer


def test_keywords_are_whole_words_wherever_their_tokens_lie(written) -> None:
    store, tokenizer = written
    mask = keyword_tokens(store, tokenizer, ["wait", "hmm"])
    trace = store.trace("b")
    ids = [i for i, hit in zip(trace.token_ids, mask[store.trace_rows("b")], strict=True) if hit]
    assert decode_text(tokenizer, ids).replace(" ", "") == "HmmWait"
    assert mask.sum() % 4 == 0
    assert not keyword_tokens(store, tokenizer, ["alternatively"]).any()


def test_shaded_tokens_spell_the_trace(written) -> None:
    store, tokenizer = written
    found = project_tokens(store, "base", Site(0), (-2, -1), LABEL, Means(), 2, 0)
    rows = pd.DataFrame(shaded_rows(store, found, tokenizer, store.labels("hand/1"), LABEL, 1))
    assert set(rows["trace"]) == {"a"}
    assert "".join(rows["text"]) == TEXT
    inside = rows[rows["labelled"]]
    assert inside["place"].min() == store.labels("hand/1")[1].token_start
    assert list(rows.loc[rows["before"], "place"]) == [inside["place"].min() - 2, inside["place"].min() - 1]
    np.testing.assert_array_equal(rows["z"], found.z[rows["place"]])


def test_the_study_gives_every_table_and_a_verdict_per_model(written) -> None:
    store, tokenizer = written
    places = {"label": LABEL, "site": "L0", "window": "-2:-1", "means": Means(), "keywords": ("wait",)}
    numbers = {"first": -2, "last": 1, "reach": 5, "samples": 1, "folds": 2, "draws": 50, "seed": 0}
    found = density_results(store, tokenizer, SimpleNamespace(**places, **numbers))
    assert set(found.tables) == {"density", "profile", "alarms", "shaded"}
    assert all(len(table) for table in found.tables.values())
    assert len(found.verdicts) == 1
    assert "on the base-derived direction" in found.headline
