"""Ablation: arms against what the model sees, equal damage by hand, erased probes, and the tiny pair's AND rule."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import normalize

from multidir.config import Compute
from multidir.errors import ConfigError
from multidir.experiments.ablation import ablation_study, chosen_directions
from multidir.experiments.ablation_arms import Arm, arms_of, random_arms
from multidir.experiments.ablation_forced import at_equal_damage, sets_table
from multidir.experiments.ablation_probes import probes_after
from multidir.experiments.ablation_texts import needed_verdicts
from multidir.experiments.candidate_finders import Sought
from multidir.experiments.dictionary_subjects import Subject
from multidir.experiments.known_causes import cause_bits, labelled_causes
from multidir.experiments.labels import annotator_by_name
from multidir.experiments.places import Questions
from multidir.experiments.results import Results
from multidir.experiments.score import Scorer
from multidir.experiments.settings import AblationChoice, Scoring
from multidir.experiments.steering import Bench
from multidir.experiments.token_knobs import word_tokens
from multidir.experiments.traces import sampling_for
from multidir.models.language_model import LanguageModel
from multidir.models.load import load_model
from multidir.models.prompting import render_prompt
from multidir.organism.grammar import answered
from multidir.organism.problems import held_out_prompts
from multidir.organism.worlds import load_worlds
from multidir.records.direction import Direction, DirectionSet
from multidir.records.eraser import Eraser
from multidir.records.pair import TINY
from multidir.records.site import Site
from multidir.records.verdict import Status
from multidir.sae.dictionary import Dictionary
from multidir.steer.steering import row_edits
from multidir.store.activations import ActivationStore
from tests.experiments.causes_store import SITE, WORDS, causes_store

CHOICE = AblationChoice(
    first=2, fit_window="-3:-1", words=WORDS, texts=3, inlp=(1, 4), shares=(0.5, 1.0), steps=2, folds=3, draws=200,
    n_random=6, null_prompts=30, generated=("mean",), max_new_tokens=200, scoring=Scoring("grammar"), causes=True,
)  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    return causes_store(tmp_path_factory.mktemp("causes") / "store")


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return load_model(TINY.source("reasoning"), "reasoning", "cpu", "float32")


@pytest.fixture(scope="module")
def sought(store: ActivationStore) -> Sought:
    return Sought.read(store, "grammar/1", "backtracking", "reasoning", SITE, (-3, -1), seed=0)


@pytest.fixture(scope="module")
def causes(store: ActivationStore, sought: Sought, lm: LanguageModel) -> list[Direction]:
    truth = labelled_causes(sought.places, sought.x["reasoning"], cause_bits(store, lm.tokenizer))
    return [Direction(name, unit, 1.0, SITE) for name, unit in truth.items()]


@pytest.fixture(scope="module")
def mean(store: ActivationStore) -> np.ndarray:
    return np.asarray(store.moments("reasoning", SITE).mean, dtype=np.float64)


def subject_of(lm: LanguageModel) -> Subject:
    torch.manual_seed(1)
    dec = normalize(torch.randn(30, lm.d), dim=1)
    coder = Dictionary("standard", dec.T.contiguous(), torch.zeros(30), dec, torch.full((lm.d,), 3.0))
    return Subject("made", coder, (("reasoning", SITE),), np.arange(9), np.zeros(9, int), held_out=False)


def latent(coder: Dictionary, index: int) -> Direction:
    unit = coder.dec[index].double().numpy()
    facts = {"dictionary": "made", "latent": index}
    return Direction(f"made/{index}", unit / np.linalg.norm(unit), 1.0, SITE, "sae", facts)


def test_every_arm_does_to_the_model_what_it_says(
    store: ActivationStore, sought: Sought, lm: LanguageModel, causes: list[Direction], mean: np.ndarray
) -> None:
    """The norms of edits on the hooked model's receipt are those of the changes that the arm announces."""
    subject = subject_of(lm)
    chosen = [*causes, latent(subject.coder, 4)]  # type: ignore[arg-type]
    info = store.traces[0]
    ids = store.token_ids[info.row_start : info.row_end].tolist()
    scope = slice(info.row_start + info.n_prompt - 1, info.row_end)
    x = store.rows("reasoning", SITE, scope).astype(np.float64)
    arms = [*arms_of(sought, chosen, [subject], mean, x, CHOICE), *random_arms(causes, mean, 1, 0)]
    assert {arm.kind for arm in arms} == {"project", "mean", "span", "leace", "inlp", "gated", "latents", "random"}
    for arm in arms:
        (edit,) = row_edits(lm, [arm.edits()])
        with torch.inference_mode():
            from multidir.models.forced import Context, next_logits

            next_logits(lm, [Context(tuple(ids), (len(ids) - 1,), info.n_prompt)], [edit])
        assert edit.edit_norm_sum[0] == pytest.approx(np.linalg.norm(arm.change(x), axis=1).sum(), rel=1e-3), arm.name


def test_random_arms_edit_every_token_as_much_as_the_span(
    causes: list[Direction], mean: np.ndarray, rng: np.random.Generator
) -> None:
    x = rng.normal(size=(50, len(mean))) + mean
    span = np.linalg.norm(Arm("span", "span", Eraser.mean_ablate(causes, mean)).change(x), axis=1)
    found = random_arms(causes, mean, 20, seed=0)
    assert len(found) == 20
    for arm in found:
        np.testing.assert_allclose(np.linalg.norm(arm.change(x), axis=1), span, rtol=1e-9)
    lefts = np.stack([arm.eraser.left[0] for arm in found if arm.eraser is not None])
    assert np.abs(lefts @ np.stack([c.unit for c in causes]).T).max() < 0.5


def test_equal_damage_by_hand() -> None:
    def line(arm: str, share: float, norm: float, fall: float, kl: float, low: float = 0.1) -> dict[str, object]:
        return {"arm": arm, "kind": "mean", "share": share, "edit_norm": norm, "fall": fall, "kl": kl, "low": low}

    table = pd.DataFrame(
        [
            line("strong", 0.5, 0.2, 2.0, 0.1),
            line("strong", 1.0, 0.4, 3.0, 0.4),
            line("cheap", 1.0, 0.1, 2.0, 0.05),
            line("idle", 1.0, 0.01, 0.0, 0.5, low=-1.0),
            {**line("random 0", 1.0, 0.001, 0.0, 0.0), "kind": "random"},
        ]
    )
    found = at_equal_damage(table).set_index("arm")
    assert found.loc["strong", "norm_level"] == 0.1
    assert found.loc["strong", "fall_at_norm"] == pytest.approx(1.0), "halfway to share 0.5"
    assert found.loc["strong", "fall_at_kl"] == pytest.approx(1.0)
    assert found.loc["cheap", "fall_at_norm"] == 2.0
    assert np.isnan(found.loc["idle", "fall_at_norm"]), "it never changes the stream that much: unknown, not zero"
    assert "random 0" not in found.index


def test_twins_are_redundant_and_the_other_cause_is_needed(
    store: ActivationStore, lm: LanguageModel, causes: list[Direction], mean: np.ndarray
) -> None:
    questions, tokens = Questions.of(store, "grammar/1", "backtracking", 4), word_tokens(lm, WORDS)
    hesitation, mistake = causes
    twin = replace(hesitation, name="twin", unit=_turned(hesitation.unit, 0.05), method="probe")
    table = sets_table(lm, [hesitation, twin, mistake], mean, questions, tokens)
    without = table[table["part"] == "without"].set_index("name")
    assert without.loc["mistake", "verdict"] == "needed"
    assert without.loc["mistake", "loss_low"] > 0
    assert abs(without.loc["hesitation", "loss"]) < 0.5 * without.loc["mistake", "loss"]
    alone = table[table["part"] == "alone"].set_index("name")
    assert (alone["low"] > 0).all()
    both = table[table["part"] == "without group"].set_index("name")
    assert set(both.index) == {"given", "probe"}
    np.testing.assert_allclose(
        table.loc[table["part"] == "all", "fall"].iloc[0] - without["fall"], without["loss"], rtol=1e-9
    )
    single = sets_table(lm, [mistake], mean, questions, tokens)
    assert single["part"].tolist() == ["all", "alone"]


def _turned(unit: np.ndarray, angle: float) -> np.ndarray:
    other = np.roll(unit, 1) - (np.roll(unit, 1) @ unit) * unit
    return np.cos(angle) * unit + np.sin(angle) * other / np.linalg.norm(other)


def test_leace_leaves_nothing_to_read_and_random_arms_everything(
    sought: Sought, causes: list[Direction], mean: np.ndarray
) -> None:
    arms = [arm for arm in arms_of(sought, causes, [], mean, sought.x["reasoning"], CHOICE) if arm.kind != "gated"]
    targets = {"backtracking": sought.places.before, "nobody": np.zeros(len(sought.places.before), bool)}
    table = probes_after(sought, [*arms, *random_arms(causes, mean, 2, 0)], targets, 4, 0.01, 200, 0)
    read = table[table["target"] == "backtracking"].set_index("arm")["auroc"]
    assert read["nothing taken out"] > 0.9
    assert read["LEACE of the label"] < 0.7
    assert read["INLP, 4 probes"] < read["nothing taken out"] - 0.02
    assert read[["random 0", "random 1"]].min() > 0.9
    nobody = table[table["target"] == "nobody"]
    assert nobody["auroc"].isna().all()
    assert (nobody["note"] == "too few traces with both classes for the folds").all()
    edits = table[table["target"] == "backtracking"].set_index("arm")["edit"]
    assert edits["nothing taken out"] == 0
    assert edits["LEACE of the label"] > 0


def test_one_site_and_something_to_study(causes: list[Direction]) -> None:
    far = replace(causes[0], name="far", site=Site(4))
    control = replace(causes[0], name="random-0", method="random")
    assert chosen_directions(DirectionSet([control, *causes]), CHOICE) == causes
    assert chosen_directions(DirectionSet([control, *causes]), replace(CHOICE, names=("mistake",))) == causes[1:]
    with pytest.raises(ConfigError, match=r"one site out; got L2.resid_post, L4.resid_post"):
        chosen_directions(DirectionSet([causes[0], far]), CHOICE)
    with pytest.raises(ConfigError, match="nowhere: every direction is a control"):
        chosen_directions(DirectionSet([control]), CHOICE)


def test_answers_are_read_from_the_last_answer() -> None:
    text = "We start from dim so far. So the answer is dim. The answer is bright."
    assert answered(text) == "bright"
    assert answered("We start from dim so far.") is None


def line(arm: str, kind: str, change: float, low: float, high: float) -> dict[str, object]:
    ends = {"change": change, "change_low": low, "change_high": high}
    return {"arm": arm, "kind": kind, "n_prompts": 9, "share": 0.02, **ends}


def test_verdicts_need_an_effect_and_a_quiet_null() -> None:
    arms = [
        line("falls", "mean", -0.02, -0.03, -0.01),
        line("rises", "mean", 0.02, 0.01, 0.03),
        line("unclear", "mean", -0.01, -0.03, 0.01),
    ]
    quiet = pd.DataFrame([line("none", "none", 0, np.nan, np.nan), *arms, line("random", "random", 0, -0.01, 0.01)])
    assert [v.status for v in needed_verdicts(quiet)] == [Status.SUPPORTED, Status.REFUTED, Status.UNDETERMINED]
    loud = pd.DataFrame([*arms, line("random", "random", -0.02, -0.03, -0.01)])
    assert {v.status for v in needed_verdicts(loud)} == {Status.INVALID}
    assert {v.status for v in needed_verdicts(pd.DataFrame(arms))} == {Status.UNDETERMINED}, "no null, no claim"


@pytest.fixture(scope="module")
def study(
    store: ActivationStore, lm: LanguageModel, causes: list[Direction], tmp_path_factory: pytest.TempPathFactory
) -> Results:
    prompts = held_out_prompts(load_worlds(), 8, seed=5)
    bench = Bench(
        lm,
        [(p.id, render_prompt(lm.tokenizer, p.problem)) for p in prompts],
        {SITE: store.mean_norm("reasoning", SITE)},
        Scorer(annotator_by_name("grammar"), CHOICE.scoring),
        sampling_for(lm, CHOICE.max_new_tokens),
        rollouts=1,
        seed=0,
        batch_rows=Compute().batch_rows,
        loops=CHOICE.scoring.loops,
    )
    answers = {p.id: p.answer for p in prompts}
    file = tmp_path_factory.mktemp("ablation") / "outcomes.jsonl"
    return ablation_study(bench, store, "grammar/1", DirectionSet(causes), [], answers, CHOICE, file)


def test_either_cause_taken_out_lowers_backtracking_and_random_ablations_do_not(study: Results) -> None:
    texts = study.tables["texts"].set_index("arm")
    for cause in ("hesitation", "mistake"):
        row = texts.loc[f"hold {cause} at its mean"]
        assert row["both_change_high"] < 0
        assert row["both_rate"] < 0.75 * texts.loc["none", "both_rate"]
    null = texts.loc["random"]
    assert null["both_change_low"] < 0 < null["both_change_high"]
    assert null["n_prompts"] == texts.loc["none", "n_prompts"] == 80, "together they see all prompts"
    assert null["n_texts"] == 2 * 80
    assert {v.status for v in study.verdicts} == {Status.SUPPORTED}
    assert 0 < texts.loc["none", "accuracy"] < 1


def test_what_the_tables_say_fits_together(study: Results) -> None:
    damage = study.tables["damage"]
    full = damage[damage["share"] == 1].set_index("arm")
    random = full[full["kind"] == "random"]
    assert len(random) == 6
    assert random["edit_norm"].to_numpy() == pytest.approx(
        full.loc["hold the span of the first 2", "edit_norm"], rel=1e-3
    )
    assert full.loc["hold the span of the first 2", "low"] > random["fall"].max()
    half = damage[(damage["share"] == 0.5)].set_index("arm")
    both = half.index.intersection(full.index)
    np.testing.assert_allclose(half.loc[both, "edit_norm"], full.loc[both, "edit_norm"] / 2, rtol=1e-9)
    assert np.corrcoef(full["estimated"], full["fall"])[0, 1] > 0.7, "attribution patching is a fair screen"
    assert set(study.tables["probes"]["target"]) == {"backtracking", "hesitation", "mistake"}
