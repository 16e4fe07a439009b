"""Learned mixtures on a small model: gradients are right, budgets are kept, sparse ones are sparse, nobody cheats."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch

from multidir.errors import ConfigError, DesignError, MissingExtra
from multidir.experiments.mixtures.bank import Bank, Space, bank_of, chosen, free_bank
from multidir.experiments.mixtures.contenders import PER_NAT, READOUT, Contender, best_singles, learned, simpler
from multidir.experiments.mixtures.contest import Measured, norms_at
from multidir.experiments.mixtures.inputs import Scene, split_prompts_of, texts_with
from multidir.experiments.mixtures.learn import Learner, Objective, Texts, texts_of
from multidir.experiments.mixtures.search import search
from multidir.experiments.mixtures.settings import Learning, Whole
from multidir.experiments.mixtures.study import learn_mixtures
from multidir.experiments.mixtures.whole import non_dominated
from multidir.models.language_model import LanguageModel
from multidir.models.load import load_model
from multidir.records.direction import Direction, DirectionSet
from multidir.records.site import Site
from multidir.records.text import Sentence, Trace
from multidir.records.verdict import Status
from multidir.types import FloatArray

SITE, TOKENS, D = Site(2), (50, 51, 52), 128
FAST = Learning(budget=0.3, steps=4, rate=0.05, path=(0.6,))


@pytest.fixture(scope="module")
def lm() -> LanguageModel:
    return load_model("shipped:tiny/reasoning-and", "reasoning", device="cpu")


def written(count: int = 8) -> tuple[list[Trace], list[Sentence]]:
    """Texts of random tokens with three sentences each, the second of the behaviour."""
    rng = np.random.default_rng(0)
    traces, sentences = [], []
    for i in range(count):
        ids = tuple(rng.integers(5, 400, 20).tolist())
        traces.append(Trace(f"t{i}", f"p{i // 2}", "x", ids, 4, ""))
        for j, start in enumerate((6, 11, 16)):
            label = "backtracking" if j == 1 else "deduction"
            sentences.append(Sentence(f"t{i}", j, 0, 1, start, start + 4, label, "test/1"))
    return traces, sentences


@pytest.fixture(scope="module")
def texts() -> Texts:
    return texts_of(*written())


def some(k: int = 3, site: Site = SITE) -> DirectionSet:
    rows = np.random.default_rng(3).standard_normal((k, D))
    return DirectionSet(Direction.from_vector(f"d{i}", row, site) for i, row in enumerate(rows))


def mixed(k: int = 3, layers: tuple[str, ...] = ()) -> tuple[Space, Bank]:
    return bank_of(some(k), {SITE: 14.0, Site(4): 20.0}, layers, D)


def learner(
    lm: LanguageModel, texts: Texts, suppress: bool = False, tokens: int = 64, layers: tuple[str, ...] = ()
) -> Learner:
    return Learner(lm, texts, mixed(layers=layers)[0], Objective(TOKENS, 1.0, FAST.budget, suppress), tokens)


@pytest.mark.parametrize("layers", [(), ("L2", "L4")])
def test_the_gradient_is_that_of_the_objective(lm: LanguageModel, texts: Texts, layers: tuple[str, ...]) -> None:
    made, rng = learner(lm, texts, layers=layers), np.random.default_rng(1)
    n = made.space.size
    at, along = (torch.tensor(rng.standard_normal(n) * 0.07, dtype=torch.float32) for _ in range(2))
    now, step = made.value(at), 0.02
    up, down = (made.value(at + sign * step * along).value for sign in (1, -1))
    assert float(now.gradient @ along) == pytest.approx((up - down) / (2 * step), rel=0.05, abs=0.02)
    whole = learner(lm, texts, tokens=100000, layers=layers).value(at)
    assert (whole.value, whole.p95) == pytest.approx((now.value, now.p95), abs=1e-3)


def test_what_is_learned_is_what_is_then_done(lm: LanguageModel, texts: Texts) -> None:
    """The hook of the gradient and the interventions of the contest move the model alike."""
    made, (space, bank) = learner(lm, texts, layers=("L2", "L4")), mixed(layers=("L2", "L4"))
    vector = 0.2 * bank.rows[0] + 0.1 * bank.rows[3]
    edits = space.edits("both", vector)
    assert [edit.site for edit in edits] == [SITE, Site(4)]
    measured = Measured.of(lm, [edits], texts, made.objective, 4096)
    assert measured.p95[0] == pytest.approx(made.value(torch.tensor(vector)).p95, rel=1e-3)


def test_a_mixture_keeps_the_budget_and_beats_nothing(lm: LanguageModel, texts: Texts) -> None:
    made, (_, bank) = learner(lm, texts), mixed()
    weights = made.mix(bank, 8, 0.1)
    found = made.value(torch.tensor(weights @ bank.rows))
    assert found.value > made.value(torch.zeros(D)).value
    assert 0.01 < found.p95 <= FAST.budget * 1.001
    less = learner(lm, texts, suppress=True).mix(bank, 4, 0.05)
    assert less @ weights < 0


def test_groups_live_or_die_together(lm: LanguageModel, texts: Texts) -> None:
    made, (_, bank) = learner(lm, texts, layers=("L2", "L4")), mixed(layers=("L2", "L4"))
    assert bank.names[:2] == ("d0 at L2.resid_post", "d0 at L4.resid_post")
    dearest = made.dearest(bank)
    assert not made.mix(bank, 3, 0.05, 1.2 * dearest).any()
    alive = made.mix(bank, 3, 0.05, 0.9 * dearest).reshape(3, 2) != 0
    assert alive.any()
    assert (alive.all(axis=1) | ~alive.any(axis=1)).all()
    assert not alive.all()
    assert bank.used(made.mix(bank, 3, 0.05)) == 3


def test_the_curvature_is_that_of_the_divergence(lm: LanguageModel, texts: Texts) -> None:
    made, (_, bank) = learner(lm, texts), mixed()
    h = made.curvature(bank)
    w = np.array([0.02, -0.01, 0.015])
    kl = -made.value(torch.tensor(w @ bank.rows), 0.0, 1.0).value
    assert w @ h @ w / 2 == pytest.approx(kl, rel=0.15)


def test_linear_optima_are_optimal_for_linear_worlds() -> None:
    """On a quadratic divergence and a linear read-out, no other mixture does more at equal norm or divergence."""
    rng = np.random.default_rng(4)
    a = rng.standard_normal((D, D)) / 10
    slope, curve = rng.standard_normal(D), a @ a.T + 0.01 * np.eye(D)

    class Linear:
        objective = Objective(TOKENS, 1.0, 0.3)
        space = mixed()[0]

        def readout(self) -> FloatArray:
            return slope

        def curvature(self, bank: Bank) -> FloatArray:
            return np.asarray(bank.rows @ curve @ bank.rows.T)

        def mix(self, bank: Bank, *_: float) -> FloatArray:
            return np.ones(len(bank.rows))

    found = {one.name: one.vector for one in simpler(Linear(), mixed()[1], FAST, 0)}  # type: ignore[arg-type]
    inside = [name for name in found if name not in ("random vector", "free vector")]
    per_nat = {name: slope @ found[name] / np.sqrt(found[name] @ curve @ found[name]) for name in inside}
    per_norm = {name: slope @ found[name] for name in inside}
    assert max(per_norm, key=per_norm.__getitem__) == READOUT
    assert max(per_nat, key=per_nat.__getitem__) == PER_NAT
    assert per_nat[PER_NAT] > per_nat[READOUT] + 0.01


def test_contenders_meet_at_one_divergence(lm: LanguageModel, texts: Texts) -> None:
    made, (space, bank) = learner(lm, texts), mixed()
    items = [*learned(made, bank, FAST), *simpler(made, bank, FAST, 0)]
    names = [one.name for one in items]
    assert {"mixture", "single d0", "sum", "mean", "first component", READOUT, PER_NAT, "free vector"} <= set(names)
    assert all(np.linalg.norm(one.vector) == pytest.approx(1) for one in items)
    norms = norms_at(lm, space, [one.vector for one in items], [0.3] * len(items), texts)
    edits = [space.edits(one.name, one.vector, norm) for one, norm in zip(items, norms, strict=True)]
    measured = Measured.of(lm, edits, texts, made.objective, 4096)
    assert measured.p95 == pytest.approx(0.3, rel=0.05)
    assert measured.gains.shape == (4, len(items))
    gains = measured.gains.mean(axis=0)
    singles = best_singles(items, gains, 2)
    assert [one.kind for one in singles] == ["single", "single"]
    assert gains[names.index(singles[0].name)] >= gains[names.index(singles[1].name)]


@dataclass(frozen=True)
class Science:
    names: tuple[str, ...] = ()
    k: int = 0
    layers: tuple[str, ...] = ()
    words: tuple[str, ...] = ("wait", "hmm")
    suppress: bool = False
    learning: Learning = field(default_factory=lambda: FAST)
    whole: Whole = field(default_factory=Whole)
    draws: int = 50
    seed: int = 0


def test_the_study_says_what_is_no_synergy(lm: LanguageModel) -> None:
    space, bank = mixed(2)
    found = learn_mixtures(Scene(lm, space, bank, Science(), 4096, Path), *written(), None)
    assert [verdict.claim.partition(" than ")[2] for verdict in found.results.verdicts][1::2] == [
        "the linear read-out w/|w| at equal norm.",
        "the linear read-out per nat at equal divergence elsewhere.",
    ]
    assert "is not called synergy" in found.results.headline
    assert all("where it was learned" in verdict.because for verdict in found.results.verdicts)
    assert {verdict.status for verdict in found.results.verdicts} <= set(Status)
    contest = found.results.tables["contest"].set_index(["matched", "contender"])
    assert contest.loc["norm", "norm"].nunique() == 1
    assert contest.loc[("KL", "mixture"), "norm"] == pytest.approx(contest.loc[("norm", "mixture"), "norm"])
    assert found.directions["mixture"].length == pytest.approx(14 * contest.loc[("KL", "mixture"), "norm"], rel=1e-6)
    assert {"texts", "front", "search"}.isdisjoint(found.results.tables), "nobody wrote"


def test_cma_es_finds_a_planted_mixture_through_noise_and_its_best_score_is_too_good() -> None:
    rng, planted = np.random.default_rng(0), np.array([0.8, -0.6])

    def truth(weights: FloatArray) -> float:
        return float(planted @ weights / np.linalg.norm(weights))

    found = search(
        lambda _, asked: [truth(w) + 0.1 * rng.standard_normal() for w in asked], ("a", "b"), np.ones(2), 0.5, 12, 6, 0
    )
    assert truth(found.weights) > 0.9 > truth(np.ones(2))
    assert found.score > truth(found.weights)
    assert list(found.tried.columns) == ["generation", "number", "score", "a", "b"]
    assert len(found.tried) == 72
    again = search(lambda _, asked: [truth(w) for w in asked], ("a", "b"), np.ones(2), 0.5, 2, 6, 0)
    same = search(lambda _, asked: [truth(w) for w in asked], ("a", "b"), np.ones(2), 0.5, 2, 6, 0)
    assert again.weights.tolist() == same.weights.tolist()


def test_a_search_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cmaes", None)
    with pytest.raises(MissingExtra, match=r"pip install 'multidir\[search\]', or take --generations 0"):
        search(lambda _, asked: [0.0] * len(asked), ("a", "b"), np.ones(2), 0.5, 1, 4, 0)


def test_a_point_is_on_the_front_when_none_beats_it() -> None:
    points = np.array([[3.0, -2, 0], [2, -1, 0], [2, -2, 0], [0, 0, 0], [3, -2, 0]])
    assert non_dominated(points) == [True, True, False, True, True]
    unknown = np.array([[np.nan, 0.0, 0], [1, -1, 0]])
    assert non_dominated(unknown) == [False, True]
    rng = np.random.default_rng(2)
    cloud = rng.standard_normal((40, 3))
    kept = cloud[non_dominated(cloud)]
    assert all(any((other >= point).all() for other in kept) for point in cloud)
    assert not any(((other >= one).all() and (other > one).any()) for one in kept for other in kept)


def test_prompts_are_learned_from_or_measured_on() -> None:
    seen, held = split_prompts_of(*written(), held_out=0.5, seed=0)
    assert set(seen.prompts) | set(held.prompts) == {"p0", "p1", "p2", "p3"}
    assert not set(seen.prompts) & set(held.prompts)
    with pytest.raises(DesignError, match="cannot be held out"):
        split_prompts_of(*written(2), held_out=0.2, seed=0)
    with pytest.raises(DesignError, match="of 24 sentences are 'musing'"):
        texts_of(*written(), label="musing")


def test_texts_have_the_behaviour_and_are_spread_out() -> None:
    traces, sentences = written(9)
    without = [s for s in sentences if s.label != "backtracking" or int(s.trace_id[1:]) % 2 == 0]
    assert [trace.id for trace in texts_with(traces, without, 99)] == ["t0", "t2", "t4", "t6", "t8"]
    assert [trace.id for trace in texts_with(traces, without, 3)] == ["t0", "t4", "t8"]
    assert len(texts_with(traces, sentences, 9, "musing")) == 9, "left to the check that names what is missing"


def test_what_cannot_be_mixed_is_refused_in_one_sentence() -> None:
    with pytest.raises(DesignError, match="of 2 to 64 directions, got 1"):
        chosen(some(1))
    with pytest.raises(DesignError, match="of 2 to 64 directions, got 65"):
        chosen(some(65))
    assert len(chosen(some(65), k=64)) == 64
    one = some(2)["d0"]
    twin = Direction.from_vector("twin", one.unit + 1e-3, SITE)
    with pytest.raises(DesignError, match=r"d0 and twin have a cosine of 1\.000"):
        chosen(DirectionSet([one, twin]))
    middle = Direction.from_vector("middle", one.unit + some(2)["d1"].unit, SITE)
    with pytest.raises(DesignError, match="3 directions span 2 dimensions"):
        chosen(DirectionSet([*some(2), middle]))
    elsewhere = DirectionSet([one, Direction("up", one.unit, 1.0, Site(4))])
    assert len(chosen(elsewhere)) == 2, "at two sites they are two"
    with pytest.raises(DesignError, match="cosine"):
        chosen(elsewhere, layers=("L1", "L2"))
    control = Direction("null", some(3)["d2"].unit, 1.0, SITE, "random")
    assert chosen(DirectionSet([*some(2), control])).names == ("d0", "d1")
    assert chosen(DirectionSet([*some(2), control]), ("d0", "null")).names == ("d0", "null")


def test_widths_and_norms_must_be_those_of_the_model() -> None:
    with pytest.raises(ConfigError, match="directions are 128 wide and the model 64"):
        bank_of(some(), {SITE: 14.0}, (), 64)
    with pytest.raises(ConfigError, match=r"nobody measured the mean residual norm at L4\.resid_post"):
        bank_of(some(), {SITE: 14.0}, ("L2", "L4"), D)


def test_a_budget_that_nothing_meets_and_a_mixture_of_nothing_are_named(lm: LanguageModel, texts: Texts) -> None:
    space, bank = mixed()
    with pytest.raises(ConfigError, match=r"moves the next token by 1e\+06 nats"):
        norms_at(lm, space, [bank.rows[0]], [1e6], texts)
    with pytest.raises(DesignError, match="is no vector"):
        Contender.mixed("nothing", "mixture", bank, np.zeros(3))
    with pytest.raises(DesignError, match="does better than none"):
        learned(learner(lm, texts), bank, Learning(steps=1))
    assert free_bank(space).rows.shape == (D, D)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Learning(budget=0), "--budget 0"),
        (lambda: Learning(path=(1.5,)), "shares between 0 and 1"),
        (lambda: Whole(population=3), "--population is at least 4"),
        (lambda: Whole(budgets=(0.0,)), "multiples above 0"),
    ],
)
def test_settings_that_make_no_sense_name_themselves(make: type, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        make()
