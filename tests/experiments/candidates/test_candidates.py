"""Candidates: planted directions found by every finder, gradients against edits, and the tiny pair's causes, untold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from torch.nn.functional import normalize

from multidir.errors import ConfigError, DesignError
from multidir.experiments.ablation.forced import falls
from multidir.experiments.ablation.settings import AblationChoice
from multidir.experiments.candidates.effects import measured_effects, rank_agreement
from multidir.experiments.candidates.find import Found, find_candidates
from multidir.experiments.candidates.finders import (
    Sought,
    axis_candidates,
    control_candidates,
    mean_candidates,
    probe_candidates,
)
from multidir.experiments.candidates.gradients import SCOPE, Gradients
from multidir.experiments.candidates.latents import latent_candidates
from multidir.experiments.candidates.settings import CandidateChoice
from multidir.experiments.candidates.token_knobs import KNOB, knob_scores, word_tokens
from multidir.experiments.dictionaries.subjects import Subject
from multidir.experiments.directions.known_causes import cause_bits, found_sentence, labelled_causes, nearest_candidates
from multidir.experiments.directions.places import Places, Questions
from multidir.methods.diffmeans import TraceSums
from multidir.models.language_model import LanguageModel
from multidir.models.load import load_model
from multidir.models.unembedding import unembedding
from multidir.records.direction import Direction
from multidir.records.eraser import Eraser
from multidir.records.intervention import Dose, Intervention
from multidir.records.pair import TINY
from multidir.sae.dictionary import Dictionary
from multidir.store.activations import ActivationStore
from tests.experiments.causes_store import SITE, WORDS, causes_store
from tests.methods import planted

CHOICE = CandidateChoice(
    site="L2", windows=("-3:-1", "-8:-4"), words=WORDS, texts=5, measured=16, controls=2, steps=2, causes=True
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    return causes_store(tmp_path_factory.mktemp("causes") / "store")


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return load_model(TINY.source("reasoning"), "reasoning", "cpu", "float32")


@pytest.fixture(scope="module")
def found(store: ActivationStore, lm: LanguageModel) -> Found:
    return find_candidates(lm, store, "grammar/1", [], CHOICE)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    return planted.planted_store(tmp_path_factory.mktemp("planted") / "store")


def sought_in(store: ActivationStore) -> Sought:
    return Sought.read(store, planted.ANNOTATOR, "backtracking", "reasoning", planted.SITE, planted.OFFSETS, seed=0)


def test_both_causes_of_the_tiny_pair_are_among_the_first_five_untold(found: Found) -> None:
    causes = found.results.tables["causes"].set_index("cause")
    for cause in ("hesitation", "mistake"):
        assert causes.loc[cause, "place"] <= 5
        assert causes.loc[cause, "cosine"] >= 0.7
        assert causes.loc[cause, "others"] < 0.5, "each by a direction of its own, not by a mixture of both"


def test_a_mixture_of_causes_finds_neither() -> None:
    truth = {"hesitation": np.eye(4)[0], "mistake": np.eye(4)[1]}
    units = {"both": [0.72, 0.69, 0, 0], "mistake": [0.1, 0.9, 0.4, 0], "late": [0.9, 0.0, 0.4, 0]}
    items = [Direction(name, np.array(u) / np.linalg.norm(u), 1.0, SITE) for name, u in units.items()]
    table = nearest_candidates(truth, items).set_index("cause")
    assert table["direction"].to_dict() == {"hesitation": "late", "mistake": "mistake"}
    assert table["place"].tolist() == [3, 2]
    few = nearest_candidates(truth, items[:2])
    assert few["direction"].tolist() == ["", "mistake"]
    assert few.loc[1, "others"] < 0.5 * few.loc[1, "cosine"]
    assert "hesitation nowhere and mistake at place 2" in found_sentence(few)


def test_the_set_is_ordered_and_every_group_speaks_once(found: Found) -> None:
    table = found.results.tables["candidates"]
    ranked = table[table["place"] > 0]
    assert ranked["place"].tolist() == list(range(1, 17))
    assert ranked["add"].abs().is_monotonic_decreasing
    assert ranked["group"].is_unique
    assert found.directions.names[:16] == tuple(ranked["name"])
    assert all(item.method in ("random", "random-cov", "shuffled") for item in list(found.directions)[16:])
    assert len(found.directions) == 16 + 6
    means = table[table["name"].isin(["means/base -3..-1", "means/reasoning -3..-1"])]
    assert means["group"].nunique() == 1, "the two models' directions are one thing"
    first = found.directions[ranked["name"].iloc[0]].source
    assert first["place"] == 1
    assert first["effect"] == "promotes"
    assert first["add"] == pytest.approx(ranked["add"].iloc[0])
    assert np.isfinite(first["stability"])


def test_controls_do_less_than_what_promotes(found: Found) -> None:
    table = found.results.tables["candidates"]
    assert table.loc[table["control"], "add"].notna().all()
    assert table.loc[table["place"].between(1, 3), "beyond_controls"].all()
    assert not table.loc[table["control"], "beyond_controls"].any()


def test_rankings_agree_as_scipy_says(found: Found) -> None:
    table, agreement = found.results.tables["candidates"], found.results.tables["agreement"]
    row = agreement[(agreement["first"] == "attribution") & (agreement["second"] == "ablate")].iloc[0]
    both = table[~table["control"]][["attribution", "ablate"]].dropna()
    assert row["n"] == len(both) == 16
    assert row["rho"] == pytest.approx(stats.spearmanr(both["attribution"], both["ablate"]).statistic)
    few = table[~table["control"] & table["add"].notna()].iloc[:3]
    assert rank_agreement(few)["rho"].isna().all()


def test_an_attribution_is_the_derivative_of_the_ablation(store: ActivationStore, lm: LanguageModel) -> None:
    """A hundredth of the edit, measured, against the gradient."""
    questions, tokens = Questions.of(store, "grammar/1", "backtracking", 2), word_tokens(lm, WORDS)
    mean = np.asarray(store.moments("reasoning", SITE).mean)
    gradients = Gradients.of(lm, questions, SITE, tokens, mean, 2)
    direction = TraceSums.read(store, "reasoning", SITE, "grammar/1", (-3, -1)).direction("backtracking")
    edit = Intervention(Eraser.mean_ablate(direction, mean), Dose(0.01, "share"), "erase", SCOPE)
    measured = falls(lm, [edit], questions, tokens)[0][0].mean()
    assert measured == pytest.approx(gradients.of_directions(direction.unit[None])[0] / 100, rel=0.03)
    change = -((gradients.x - mean) @ direction.unit)[:, None] * direction.unit
    assert -gradients.of_edit(change) == pytest.approx(gradients.of_directions(direction.unit[None])[0], rel=1e-9)


def test_integrated_gradients_are_complete(store: ActivationStore, lm: LanguageModel) -> None:
    """All attributions together are what is lost when everything is put at its mean: the axiom of completeness."""
    questions, tokens = Questions.of(store, "grammar/1", "backtracking", 1), word_tokens(lm, WORDS)
    mean = np.asarray(store.moments("reasoning", SITE).mean)
    gradients = Gradients.of(lm, questions, SITE, tokens, mean, 60)
    eye = np.eye(len(mean))
    edit = Intervention(Eraser("all", SITE, eye, eye, mean, "mean_ablate"), Dose(1, "share"), "erase", SCOPE)
    lost = falls(lm, [edit], questions, tokens)[0][0].mean()
    assert gradients.of_directions(eye, integrated=True).sum() == pytest.approx(lost, rel=0.05)
    assert abs(gradients.of_directions(eye).sum() - lost) > 0.1 * abs(lost), "one gradient alone is not"


def test_latents_that_are_the_causes_are_chosen_among_many(store: ActivationStore, lm: LanguageModel) -> None:
    sought = Sought.read(store, "grammar/1", "backtracking", "reasoning", SITE, (-3, -1), seed=0)
    truth = labelled_causes(sought.places, sought.x["reasoning"], cause_bits(store, lm.tokenizer))
    torch.manual_seed(0)
    dec = normalize(torch.randn(40, lm.d), dim=1)
    dec[7], dec[21] = (torch.from_numpy(truth[name]).float() for name in ("hesitation", "mistake"))
    centre = torch.from_numpy(np.asarray(store.moments("reasoning", SITE).mean)).float()
    bias = torch.full((40,), -0.05 * store.mean_norm("reasoning", SITE))
    coder = Dictionary("standard", dec.T.contiguous(), bias, dec, centre)
    subject = Subject("made", coder, (("reasoning", SITE),), np.arange(100), np.zeros(100, int), held_out=False)
    questions, tokens = Questions.of(store, "grammar/1", "backtracking", 4), word_tokens(lm, WORDS)
    gradients = Gradients.of(lm, questions, SITE, tokens, centre.double().numpy(), 0)
    word = np.where(store.position % 50 == 0, 0, -1)
    made = list(latent_candidates(sought, [subject], word, gradients, 3))
    best = sorted(made, key=lambda each: -each.attribution)[:3]
    assert {7, 21} <= {each.direction.source["latent"] for each in best}
    assert all(each.latent is not None and each.direction.name == f"sae/reasoning/{each.latent.index}" for each in made)
    assert len(made) < 40
    other = replace(subject, keys=(("base", SITE),))
    assert all(
        each.latent is None and np.isnan(each.attribution)
        for each in latent_candidates(sought, [other], word, gradients, 3)
    )
    assert not list(
        latent_candidates(sought, [replace(subject, keys=(("reasoning", planted.SITE),))], word, gradients, 3)
    )


def test_latents_of_a_crosscoder_are_candidates_by_their_half_in_the_steered_model(
    store: ActivationStore, lm: LanguageModel
) -> None:
    sought = Sought.read(store, "grammar/1", "backtracking", "reasoning", SITE, (-3, -1), seed=0)
    bits = cause_bits(store, lm.tokenizer)
    halves = [labelled_causes(sought.places, sought.x[role], bits) for role in ("base", "reasoning")]
    torch.manual_seed(0)
    contrast = torch.cat([torch.from_numpy(sum(truth.values())) for truth in halves]).float()
    dec = torch.randn(40, 2 * lm.d)
    dec = normalize(dec - torch.outer(dec @ contrast, contrast) / contrast.square().sum(), dim=1)
    for latent, cause in ((7, "hesitation"), (21, "mistake")):
        dec[latent] = torch.cat([torch.from_numpy(truth[cause]) for truth in halves]).float()
    dec[9] = torch.cat([dec[7, : lm.d], torch.zeros(lm.d)])
    centre = torch.cat([torch.from_numpy(np.asarray(store.moments(r, SITE).mean)) for r in store.roles]).float()
    bias = torch.full((40,), -0.05 * store.mean_norm("reasoning", SITE))
    coder = Dictionary("standard", dec.T.contiguous(), bias, dec, centre)
    keys = (("base", SITE), ("reasoning", SITE))
    subject = Subject("crosscoder", coder, keys, np.arange(100), np.zeros(100, int), held_out=False)
    gradients = Gradients.of(
        lm, Questions.of(store, "grammar/1", "backtracking", 1), SITE, word_tokens(lm, WORDS), centre[lm.d :].numpy(), 0
    )
    word = np.where(store.position % 50 == 0, 0, -1)
    made = {c.direction.source["latent"]: c for c in latent_candidates(sought, [subject], word, gradients, 3)}
    assert {7, 21} <= set(made)
    assert 9 not in made, "it writes nothing into the steered model"
    assert made[7].direction.unit @ halves[1]["hesitation"] == pytest.approx(1, abs=1e-6)
    assert made[7].direction.name == "sae/base+reasoning/7"
    assert made[7].direction.source["role"] == "base+reasoning"
    assert made[7].readings[sought.places.before].mean() > made[7].readings[~sought.places.before].mean()
    assert all(each.latent is None and np.isnan(each.attribution) for each in made.values()), "held at the mean instead"
    assert all(np.isfinite(each.reason_score) for each in made.values())
    effect = measured_effects(
        lm, [made[21]], Questions.of(store, "grammar/1", "backtracking", 2), word_tokens(lm, WORDS),
        centre[lm.d :].double().numpy(), {SITE: store.mean_norm("reasoning", SITE)}, 0.15,
    )  # fmt: skip
    assert effect[0]["add_low"] > 0
    assert effect[0]["ablate"] > 0


def test_every_finder_finds_what_was_planted(plain: ActivationStore) -> None:
    sought = sought_in(plain)
    truth = planted.PLANTED["reasoning"] / np.linalg.norm(planted.PLANTED["reasoning"])
    means = {each.direction.name: each for each in mean_candidates(sought, [planted.OFFSETS, (1, 1)])}
    assert means["means/reasoning -6..-4"].direction.unit @ truth > 0.95
    assert means["means/reasoning -6..-4"].stability > 0.9
    assert means["means/reasoning 1..1"].stability < 0.7, "nothing is there"
    probe = {each.direction.source["role"]: each for each in probe_candidates(sought, 0.01)}["reasoning"]
    assert probe.direction.unit @ truth > 0.8
    axes = {each.direction.name: each for each in axis_candidates(sought, 2, 4, seed=0)}
    assert axes["pca/0"].direction.unit @ truth > 0.9
    assert axes["pca/0"].readings[sought.places.before].mean() > axes["pca/0"].readings[~sought.places.before].mean()
    controls = list(control_candidates(sought, 4, seed=0))
    assert len(controls) == 12
    assert all(each.is_control for each in controls)
    assert max(abs(each.direction.unit @ truth) for each in controls) < 0.9
    assert not list(control_candidates(sought, 0, seed=0))


def test_windows_that_reach_into_the_prompt_are_left_out(plain: ActivationStore) -> None:
    places = Places.of(plain, planted.ANNOTATOR, "backtracking", planted.OFFSETS)
    n_prompt = np.array([info.row_start + info.n_prompt for info in plain.traces])
    assert (places.rows[:, 0] >= n_prompt[places.trace]).all()
    assert len(places.before) < len(plain.windows(planted.ANNOTATOR, planted.OFFSETS).trace) + 1
    with pytest.raises(DesignError, match=r"0 of .* sentences .* are 'dreaming'"):
        Places.of(plain, planted.ANNOTATOR, "dreaming", planted.OFFSETS)


def test_questions_are_asked_where_sentences_begin(plain: ActivationStore) -> None:
    questions = Questions.of(plain, planted.ANNOTATOR, "backtracking", 5)
    counts = [
        sum(b for t, b in zip(questions.trace, questions.before, strict=True) if t == place)
        for place in np.unique(questions.trace)
    ]
    labels = plain.labels(planted.ANNOTATOR)
    most = sorted(sum(s.label == "backtracking" for s in labels if s.trace_id == info.id) for info in plain.traces)
    assert sorted(counts) == most[-5:]
    starts = {(s.trace_id, s.token_start) for s in labels if s.label == "backtracking"}
    asked = [
        (plain.traces[place].id, at + 1)
        for place, context in zip(dict.fromkeys(questions.trace.tolist()), questions.contexts, strict=True)
        for at in context.at
    ]
    assert {each for each, before in zip(asked, questions.before, strict=True) if before} <= starts
    assert len(asked) == len(questions.before)


def test_rows_that_are_not_finite_are_counted(plain: ActivationStore, monkeypatch: pytest.MonkeyPatch) -> None:
    read = ActivationStore.rows

    def broken(self: ActivationStore, *args: object) -> np.ndarray:
        rows = read(self, *args)  # type: ignore[arg-type]
        rows[5] = np.nan
        return rows

    monkeypatch.setattr(ActivationStore, "rows", broken)
    with pytest.raises(DesignError, match=r"1 of .* windows of base .* hold nan or infinities, the first in trace t"):
        sought_in(plain)


def test_a_direction_that_writes_the_word_is_a_token_knob(lm: LanguageModel, rng: np.random.Generator) -> None:
    tokens, weight = word_tokens(lm, WORDS), unembedding(lm).weight.double().numpy()
    direct = weight[list(tokens)].mean(axis=0) - weight.mean(axis=0)
    units = np.stack([direct, -direct, *rng.normal(size=(200, lm.d))])
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    scores = knob_scores(lm, units, tokens, seed=0)
    assert scores[0] > KNOB
    assert scores[1] < -KNOB
    assert (np.abs(scores[2:]) > KNOB).mean() < 0.01
    assert scores[2:].std() == pytest.approx(1, rel=0.25)


def test_words_are_tokens_or_refused(lm: LanguageModel) -> None:
    texts = {lm.tokenizer.decode([i]).strip().lower() for i in word_tokens(lm, ("Wait",))}
    assert texts == {"wait"}
    with pytest.raises(ConfigError, match="'perchance'"):
        word_tokens(lm, ("wait", "perchance"))


def test_settings_that_find_nothing_are_refused() -> None:
    with pytest.raises(ConfigError, match="--measured"):
        CandidateChoice(measured=0)
    with pytest.raises(ConfigError, match=r"--alike 1\.5"):
        CandidateChoice(alike=1.5)
    with pytest.raises(ConfigError, match="--shares"):
        AblationChoice(shares=(0.5,))
    with pytest.raises(ConfigError, match="--n-random 1 does not tell"):
        AblationChoice(n_random=1)
    with pytest.raises(ConfigError, match="--folds"):
        AblationChoice(folds=1)
    with pytest.raises(ConfigError, match="--generated blank is no way"):
        AblationChoice(generated=("mean", "blank"))
    with pytest.raises(ConfigError, match="--gate-share"):
        AblationChoice(gate_share=1.0)


def test_without_one_combination_of_causes_there_is_no_truth(store: ActivationStore) -> None:
    places = Places.of(store, "grammar/1", "backtracking", (-3, -1))
    with pytest.raises(DesignError, match="combination of causes 01"):
        labelled_causes(places, places.means(store, "reasoning", SITE), np.zeros(store.n_rows, dtype=int))
