"""Ablation: arms against what the model sees, equal damage by hand, erased probes, and the tiny pair's AND rule."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn.functional import normalize

from multidir.config import Compute
from multidir.errors import ConfigError
from multidir.experiments.ablation.arms import NULLS, Arm, arms_of, random_arms
from multidir.experiments.ablation.forced import at_equal_damage, sets_table
from multidir.experiments.ablation.probes import probes_after
from multidir.experiments.ablation.settings import AblationChoice
from multidir.experiments.ablation.study import ablation_study, chosen_directions
from multidir.experiments.ablation.verdicts import IN_TEXTS, needed_verdicts
from multidir.experiments.candidates.finders import Sought
from multidir.experiments.candidates.token_knobs import word_tokens
from multidir.experiments.corpus.labels import annotator_by_name
from multidir.experiments.corpus.traces import sampling_for
from multidir.experiments.dictionaries.subjects import Subject
from multidir.experiments.directions.known_causes import cause_bits, labelled_causes
from multidir.experiments.directions.places import Questions
from multidir.experiments.results import Results
from multidir.experiments.score import Scorer
from multidir.experiments.settings import Scoring
from multidir.experiments.steering.bench import Bench
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
    n_random=20, null_prompts=10, generated=("mean",), max_new_tokens=200, scoring=Scoring("grammar"), causes=True,
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
    arms = arms_of(sought, chosen, [subject], mean, x, CHOICE)
    assert {arm.kind for arm in arms} == {"project", "mean", "span", "leace", "inlp", "gated", "latents"}
    arms += random_arms(arms, mean, x, 1, 0)
    for arm in arms:
        (edit,) = row_edits(lm, [arm.edits()])
        with torch.inference_mode():
            from multidir.models.forced import Context, next_logits

            next_logits(lm, [Context(tuple(ids), (len(ids) - 1,), info.n_prompt)], [edit])
        assert edit.edit_norm_sum[0] == pytest.approx(np.linalg.norm(arm.change(x), axis=1).sum(), rel=1e-3), arm.name


def test_matched_arms_edit_every_token_as_much_as_the_strongest_and_random_ones_hardly(
    sought: Sought, causes: list[Direction], mean: np.ndarray
) -> None:
    x = sought.x["reasoning"][:50]
    arms = [Arm(c.name, "mean", Eraser.mean_ablate(c, mean)) for c in causes]
    arms += [Arm("span", "span", Eraser.mean_ablate(causes, mean)), arm_of_kind("leace", sought, causes, mean)]
    span = np.linalg.norm(arms[2].change(x), axis=1)
    found = random_arms(arms, mean, x, 20, seed=0)
    assert [arm.kind for arm in found] == ["random"] * 20 + ["matched"] * 20
    for arm in found:
        edit = np.linalg.norm(arm.change(x), axis=1)
        if arm.kind == "matched":
            np.testing.assert_allclose(edit, span, rtol=1e-9)
        else:
            assert edit.mean() < 0.8 * span.mean()
    lefts = np.stack([arm.eraser.left[0] for arm in found if arm.eraser is not None])
    lefts /= np.linalg.norm(lefts, axis=1, keepdims=True)
    assert np.abs(lefts @ np.stack([c.unit for c in causes]).T).max() < 0.5


def test_an_eraser_that_is_no_projection_is_matched_as_well(
    sought: Sought, causes: list[Direction], mean: np.ndarray
) -> None:
    x, leace = sought.x["reasoning"][:50], arm_of_kind("leace", sought, causes, mean)
    moved = random_arms([leace], mean, x, 1, seed=0)[1]
    np.testing.assert_allclose(
        np.linalg.norm(moved.change(x), axis=1), np.linalg.norm(leace.change(x), axis=1), rtol=1e-9
    )
    gated = arm_of_kind("gated", sought, causes, mean)
    still = np.linalg.norm(gated.change(x), axis=1) == 0
    assert 0 < still.sum() < 50
    assert np.array_equal(np.linalg.norm(random_arms([gated], mean, x, 1, seed=0)[1].change(x), axis=1) == 0, still)
    latents = Arm("latents off", "latents")
    with pytest.raises(ConfigError, match="only latents are switched off"):
        random_arms([latents], mean, x, 1, seed=0)
    assert random_arms([latents], mean, x, 0, seed=0) == []


def arm_of_kind(kind: str, sought: Sought, causes: list[Direction], mean: np.ndarray) -> Arm:
    arms = arms_of(sought, causes, [], mean, sought.x["reasoning"], CHOICE)
    return next(arm for arm in arms if arm.kind == kind)


def test_equal_damage_by_hand() -> None:
    def line(arm: str, share: float, norm: float, fall: float, kl: float, low: float = 0.1) -> dict[str, object]:
        return {"arm": arm, "kind": "mean", "share": share, "edit_norm": norm, "fall": fall, "kl": kl, "fall_low": low}

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
    assert both["verdict"].to_dict() == {"given": "needed", "probe": "redundant"}
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
    table = probes_after(
        sought, [*arms, *random_arms(arms, mean, sought.x["reasoning"], 2, 0)], targets, 4, 0.01, 200, 0
    )
    read = table[table["target"] == "backtracking"].set_index("arm")["auroc"]
    assert read["nothing taken out"] > 0.9
    assert read["LEACE of the label"] < 0.7
    assert read["INLP, 4 probes"] < read["nothing taken out"] - 0.02
    assert read[["random 0", "random 1"]].min() > 0.9, "the negative twin: nothing is read away by chance"
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


def test_directions_of_another_model_are_refused_by_their_width(store: ActivationStore, lm: LanguageModel) -> None:
    foreign = DirectionSet([Direction("other", np.eye(7)[0], 1.0, SITE)])
    with pytest.raises(ConfigError, match=f"direction 'other' has width 7, and .* holds rows of width {store.d}"):
        ablation_study(lm, None, store, "grammar/1", foreign, [], {}, CHOICE, Path("x"))


def test_answers_are_read_from_the_last_answer() -> None:
    text = "We start from dim so far. So the answer is dim. The answer is bright."
    assert answered(text) == "bright"
    assert answered("We start from dim so far.") is None


def line(arm: str, kind: str, change: float, half: float, over: float = 0.0) -> dict[str, object]:
    """A row whose intervals reach half to both sides; `over` of both nulls."""
    found: dict[str, object] = {"arm": arm, "kind": kind, "n_prompts": 9, "share": 0.02}
    found |= {"change": change, "change_low": change - half, "change_high": change + half}
    for null in NULLS:
        name = f"change_over_{null}"
        found |= {name: over, f"{name}_low": over - half, f"{name}_high": over + half}
    return found


def nulls(change: float, half: float) -> list[dict[str, object]]:
    return [line(kind, kind, change, half, np.nan) for kind in NULLS]


def test_verdicts_need_an_effect_that_random_ablations_do_not_have() -> None:
    arms = [
        line("falls", "mean", -0.03, 0.01, -0.02),
        line("rises", "mean", 0.03, 0.01, 0.02),
        line("unclear", "mean", -0.01, 0.02, -0.005),
        line("as random", "mean", -0.03, 0.01, -0.005),
    ]
    table = pd.DataFrame([line("none", "none", 0, np.nan), *arms, *nulls(0.0, 0.01)])
    statuses = {v.claim: v.status for v in needed_verdicts(table, IN_TEXTS)}
    assert list(statuses.values()) == [
        Status.SUPPORTED, Status.REFUTED, Status.UNDETERMINED, Status.UNDETERMINED
    ]  # fmt: skip
    loud = needed_verdicts(pd.DataFrame([*arms, *nulls(-0.02, 0.01)]), IN_TEXTS)
    assert [v.status for v in loud] == [Status.SUPPORTED, Status.REFUTED, Status.INVALID, Status.INVALID]
    assert "random ablations of equal norm do so by -2.0 [-3.0, -1.0]" in loud[0].because
    assert loud[0].estimates["over matched"].value == -0.02
    unknown = pd.DataFrame(arms).drop(columns=[c for c in pd.DataFrame(arms) if "matched" in c])
    assert {v.status for v in needed_verdicts(unknown, IN_TEXTS)} == {Status.UNDETERMINED}, "no null, no claim"


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
    return ablation_study(lm, bench, store, "grammar/1", DirectionSet(causes), [], answers, CHOICE, file)


def test_either_cause_taken_out_lowers_backtracking_and_random_ablations_do_not(study: Results) -> None:
    texts = study.tables["texts"].set_index("arm")
    for cause in ("hesitation", "mistake"):
        row = texts.loc[f"hold {cause} at its mean"]
        assert row["both_change_high"] < 0
        assert row["both_rate"] < 0.75 * texts.loc["none", "both_rate"]
        for null in NULLS:
            assert row[f"both_change_over_{null}_high"] < 0
    null = texts.loc["random"]
    assert null["both_change_low"] < 0 < null["both_change_high"]
    assert null["n_prompts"] == texts.loc["none", "n_prompts"] == 80, "together they see all prompts"
    assert null["n_texts"] == 20 * 10
    assert {v.status for v in study.verdicts} == {Status.SUPPORTED}
    assert 0 < texts.loc["none", "accuracy"] < 1
    assert "in texts already written, the log-odds of the words before backtracking fall by" in study.headline


def test_without_problems_the_verdict_is_on_written_texts(
    store: ActivationStore, lm: LanguageModel, causes: list[Direction], tmp_path: Path
) -> None:
    choice = replace(CHOICE, inlp=(1,), shares=(1.0,), steps=0)
    shuffled = replace(causes[0], name="some", unit=_turned(np.eye(lm.d)[5], 0.3))
    found = ablation_study(
        lm, None, store, "grammar/1", DirectionSet([*causes, shuffled]), [], {}, choice, tmp_path / "x"
    )
    assert "texts" not in found.tables
    assert not (tmp_path / "x").exists()
    said = {v.claim: v.status for v in found.verdicts if " hold " in v.claim and " span" not in v.claim}
    assert [*said.values()] == [Status.SUPPORTED, Status.SUPPORTED]
    assert "the log-odds of the words before backtracking fall by +" in found.verdicts[0].because
    assert found.headline.startswith("before backtracking the log-odds of the words fall most with")


def test_what_the_tables_say_fits_together(study: Results) -> None:
    damage = study.tables["damage"]
    full = damage[damage["share"] == 1].set_index("arm")
    random, matched = (full[full["kind"] == kind] for kind in NULLS)
    assert len(random) == len(matched) == 20
    single = full[full["kind"] == "mean"]
    assert matched["edit_norm"].to_numpy() == pytest.approx(single["edit_norm"].max(), rel=1e-3)
    assert random["edit_norm"].max() < single["edit_norm"].max()
    assert single["fall_low"].min() > max(random["fall"].max(), matched["fall"].max())
    half = damage[(damage["share"] == 0.5)].set_index("arm")
    both = half.index.intersection(full.index)
    np.testing.assert_allclose(half.loc[both, "edit_norm"], full.loc[both, "edit_norm"] / 2, rtol=1e-9)
    assert np.corrcoef(full["estimated"], full["fall"])[0, 1] > 0.7, "attribution patching is a fair screen"
    assert set(study.tables["probes"]["target"]) == {"backtracking", "hesitation", "mistake"}
