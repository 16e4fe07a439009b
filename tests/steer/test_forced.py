"""Teacher forcing: against one plain forward pass per text and condition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from multidir.errors import AlignmentError, ConfigError, ModelError
from multidir.models.forced import Context, next_logits
from multidir.models.language_model import LanguageModel
from multidir.models.logprobs import log_odds
from multidir.records.intervention import Dose, Intervention, Noise
from multidir.records.scope import Scope
from multidir.records.site import Site
from multidir.steer.forced import Forced, teacher_forced, token_set
from multidir.steer.steering import Mixture, steer
from tests.steer.arms import add, direction

WAIT = (70, 71, 300)
FRESH = Intervention(Noise(Site(1)), Dose(2.0, "residual"), "noise")
CONDITIONS: list[Mixture] = [
    None,
    add(2.0),
    add(0.0),
    add(3.0, seed=1, site=Site(0), scope="generated"),
    (add(2.0, site=Site(2)), add(4.0, seed=2, site=Site(3), scope=Scope(begin=5))),
    add(2.0, scope=Scope("all", from_token=9)),
]


def some_contexts(count: int = 7) -> list[Context]:
    g = torch.Generator().manual_seed(0)
    made = []
    for index in range(count):
        n = 8 + 5 * index
        ids = torch.randint(5, 400, (n,), generator=g).tolist()
        ids[index % 5] = 9
        made.append(Context(ids, sorted({6, 7, n - 2, n // 2 + 3}), 3 + index % 4))
    return made


def one_by_one(lm: LanguageModel, context: Context, mixture: Mixture, seed: int | None = None) -> torch.Tensor:
    """(m, v) logits of a plain pass over the whole text."""
    ids = torch.tensor([context.ids])
    with steer(lm, mixture, n_prompt=context.n_prompt, seed=seed):
        return lm.model(ids).logits[0, list(context.at)].double()


def expected(lm: LanguageModel, context: Context, mixture: Mixture) -> tuple[np.ndarray, np.ndarray]:
    p, q = (one_by_one(lm, context, each).log_softmax(-1) for each in (mixture, None))
    share = p[:, list(WAIT)].exp().sum(-1)
    return (share.log() - (1 - share).log()).numpy(), (p.exp() * (p - q)).sum(-1).numpy()


@pytest.mark.parametrize("batch_tokens", [8192, 150, 1])
def test_equals_one_plain_pass_per_text_and_condition(lm: LanguageModel, batch_tokens: int) -> None:
    contexts = some_contexts()
    found = teacher_forced(lm, contexts, CONDITIONS, WAIT, batch_tokens=batch_tokens)
    for context, each in zip(contexts, found, strict=True):
        assert each.log_odds.shape == each.kl.shape == (len(CONDITIONS), len(context.at))
        for c, mixture in enumerate(CONDITIONS):
            odds, kl = expected(lm, context, mixture)
            np.testing.assert_allclose(each.log_odds[c], odds, atol=2e-4)
            np.testing.assert_allclose(each.kl[c], kl, atol=2e-4)


def test_an_unsteered_condition_is_exactly_the_unsteered_model(lm: LanguageModel) -> None:
    for each in teacher_forced(lm, some_contexts(), CONDITIONS, WAIT):
        assert (each.kl[[0, 2]] == 0).all()
        assert (each.log_odds[0] == each.log_odds[2]).all()
        assert (each.kl[1] > 1e-4).all(), "and a steered one is not"


def test_positions_before_the_first_edit_are_exactly_unsteered(lm: LanguageModel) -> None:
    context = Context(some_contexts()[6].ids, (2, 10, 20), 4)
    (found,) = teacher_forced(lm, [context], [None, add(5.0, scope=Scope(begin=11))], WAIT)
    assert (found.kl[1] == 0).tolist() == [True, True, False]
    assert (found.log_odds[0] == found.log_odds[1]).tolist() == [True, True, False]


def test_only_what_a_condition_changes_is_run_again(lm: LanguageModel) -> None:
    ran: list[int] = []
    handle = lm.model.model.register_forward_pre_hook(
        lambda _m, _a, kw: ran.append(kw["input_ids"].numel()), with_kwargs=True
    )
    context = Context(range(5, 105), (99,), 100)
    late = [add(float(dose), scope="generated") for dose in range(1, 9)]
    teacher_forced(lm, [context], late, WAIT)
    handle.remove()
    assert ran == [100, 8]


def test_noise_belongs_to_the_context_not_to_the_batch(lm: LanguageModel) -> None:
    contexts = some_contexts()
    both = teacher_forced(lm, contexts, [FRESH, add(1.0), FRESH], WAIT, seed=3)
    alone = teacher_forced(lm, contexts, [FRESH], WAIT, seed=3, batch_tokens=1)
    for one, two in zip(both, alone, strict=True):
        np.testing.assert_allclose(one.kl[[0, 2]], np.repeat(two.kl, 2, 0), atol=1e-4)
    other = teacher_forced(lm, contexts, [FRESH], WAIT, seed=4)
    assert not np.allclose(other[0].kl, alone[0].kl, atol=1e-3)


def test_token_sets(lm: LanguageModel) -> None:
    assert token_set(lm, [5, "W"]) == (5, lm.tokenizer.encode("W", add_special_tokens=False)[0])
    with pytest.raises(ConfigError, match=r"'Wait Wait' is \d tokens here"):
        token_set(lm, ["Wait Wait"])
    for bad in ([], [5, 5], [-1], [416]):
        with pytest.raises(ConfigError, match="a token set needs different tokens"):
            token_set(lm, bad)


def test_log_odds_are_exact_where_the_set_is_nearly_certain() -> None:
    logits = torch.tensor([[40.0, 1.0, 0.0], [-60.0, 1.0, 0.0]])
    rest = np.log(np.exp(1) + 1)
    np.testing.assert_allclose(log_odds(logits, [0]).numpy(), [40 - rest, -60 - rest], rtol=1e-6)


def test_bad_input_is_refused_before_the_model_runs(lm: LanguageModel) -> None:
    ran: list[int] = []
    handle = lm.model.register_forward_pre_hook(lambda *_: ran.append(1))
    good = Context((5, 6, 7), (2,), 1)
    for at, n_prompt in (((2,), 1), ((), 1), ((1, 0), 1), ((-1,), 1), ((0,), 0), ((0,), 3)):
        with pytest.raises(ConfigError, match="in rising order"):
            Context((5, 6), at, n_prompt)
    with pytest.raises(ConfigError, match="tokens here"):
        teacher_forced(lm, [good], [None], ["Wait Wait"])
    with pytest.raises(AlignmentError, match="token id 9999"):
        teacher_forced(lm, [Context((9999,), (0,), 1)], [None], WAIT)
    with pytest.raises(ConfigError, match=r"L9\.resid_post is beyond"):
        teacher_forced(lm, [good], [add(1.0, site=Site(9))], WAIT)
    with pytest.raises(ConfigError, match="relative to the mean residual norm"):
        teacher_forced(lm, [good], [Intervention(direction(), Dose(1.0, "relative"))], WAIT)
    handle.remove()
    assert ran == []
    with pytest.raises(ConfigError, match="condition 1 edits nothing at or before position 2 of context 0"):
        teacher_forced(lm, [good], [None, add(1.0, scope=Scope("all", begin=3))], WAIT)


def test_logits_that_are_not_finite_are_an_error(lm: LanguageModel) -> None:
    lm.model.lm_head.weight[7] = float("nan")
    with pytest.raises(ModelError, match="logits of context 0 are not finite"):
        teacher_forced(lm, [Context((5, 6), (1,), 1)], [None], WAIT)


def test_a_vector_can_be_learned_through_it(lm: LanguageModel) -> None:
    """The gradient with respect to an added vector against a difference quotient."""
    contexts, vector = some_contexts(3), torch.zeros(32, requires_grad=True)

    def total(v: torch.Tensor) -> torch.Tensor:
        return log_odds(next_logits(lm, contexts, hooks=[(Site(1), lambda x: x + v)]), WAIT).sum()

    (gradient,) = torch.autograd.grad(total(vector), vector)
    along = torch.from_numpy(direction(1).unit).float()
    step = 1e-2
    quotient = (total(step * along) - total(-step * along)) / (2 * step)
    assert float(gradient @ along) == pytest.approx(float(quotient), rel=2e-2, abs=2e-2)


def test_no_context_no_answer(lm: LanguageModel) -> None:
    found: list[Forced] = teacher_forced(lm, [], [None], WAIT)
    assert found == []
