"""Edits in weights against edits by hooks: equal where the module says so, different or refused elsewhere."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from multidir.errors import ConfigError, ModelError
from multidir.models.fold import Addition, Projection, Where, Writers, choose_writers
from multidir.models.generate import generate
from multidir.models.hooks import residual_hooks
from multidir.models.language_model import LanguageModel
from multidir.models.load import load_model
from multidir.models.sampling import Sampling
from multidir.records.direction import Direction
from multidir.records.intervention import Dose, Intervention
from multidir.records.site import Site
from multidir.steer.fold import addition, fold, projection
from multidir.steer.steering import row_edits
from tests.models.tiny import tiny_lm, tiny_tokenizer
from tests.steer.arms import direction

IDS = torch.tensor([[0, 5, 6, 7, 90, 41], [0, 9, 8, 7, 6, 5]])
SIZE = {
    "vocab_size": 416,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "initializer_range": 0.3,
}


def logits(lm: LanguageModel) -> Tensor:
    with torch.inference_mode():
        found: Tensor = lm.model(IDS, use_cache=False).logits
        return found


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def biased(tied: bool = False, seed: int = 1) -> LanguageModel:
    """A Llama with every bias it can have, none of them zero; head tied or not."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        config = LlamaConfig(**SIZE, attention_bias=True, mlp_bias=True, tie_word_embeddings=tied)
        model = LlamaForCausalLM(config).eval().requires_grad_(False)
        for name, value in model.named_parameters():
            if name.endswith("bias"):
                value.normal_()
    return LanguageModel("base", model, tiny_tokenizer(), "0" * 64, "biased Llama")


def stream(model: PreTrainedModel, ids: Tensor) -> list[Tensor]:
    """The residual stream at every site, and between attention and MLP of every block."""
    found: list[Tensor] = []
    with ExitStack() as stack:
        sites = [Site(n, s) for n in range(len(model.model.layers)) for s in Site.STREAMS]
        stack.enter_context(residual_hooks(model, [(site, lambda h: found.append(h.clone())) for site in sites]))
        for block in model.model.layers:
            norm = block.post_attention_layernorm
            stack.callback(norm.register_forward_pre_hook(lambda _, args: found.append(args[0].clone())).remove)
        with torch.inference_mode():
            model(ids, use_cache=False)
    return found


@pytest.mark.parametrize("lm", [tiny_lm(), biased(), biased(tied=True)], ids=["plain", "biased", "tied"])
@pytest.mark.parametrize("site", [Site(0, "resid_pre"), Site(0), Site(2, "resid_pre"), Site(2)], ids=str)
def test_a_folded_addition_is_the_steered_model(lm: LanguageModel, site: Site) -> None:
    """Generation too: the same tokens as our own steering at all positions, with a cache."""
    lm = LanguageModel(lm.role, _copy(lm.model), lm.tokenizer, lm.fingerprint, lm.source)
    item, sampling = direction(site=site), Sampling(False, max_new_tokens=12)
    steered = row_edits(lm, [Intervention(item, Dose(9.0, "activation"))])
    prompt = [IDS[0].tolist()]
    (plain,) = generate(lm, prompt, [0], sampling)
    (expected,) = generate(lm, prompt, [0], sampling, steered)
    with residual_hooks(lm.model, [(site, lambda h: h + torch.as_tensor(9 * item.vector, dtype=h.dtype))]):
        hooked = logits(lm)
    found = fold(lm, addition(lm, [item], Dose(9.0, "activation")))
    close(logits(lm), hooked)
    assert generate(lm, prompt, [0], sampling)[0].new_ids == expected.new_ids != plain.new_ids
    assert found.difference < 1e-5 < found.change
    assert found.equals == f"adding a constant at {site}, at all positions"


def _copy(model: PreTrainedModel) -> PreTrainedModel:
    made = type(model)(model.config.__class__.from_dict(model.config.to_dict())).eval().requires_grad_(False)
    made.load_state_dict(model.state_dict())
    made.generation_config = model.generation_config
    return made


def test_several_additions_sum_up() -> None:
    lm = tiny_lm()
    items = [direction(0, Site(1)), direction(1, Site(1)), direction(2, Site(3, "resid_pre")), direction(3, Site(2))]
    hooks = [(item.site, lambda h, v=item.vector: h + torch.as_tensor(v, dtype=h.dtype)) for item in items]
    with residual_hooks(lm.model, hooks):  # type: ignore[arg-type]
        expected = logits(lm)
    fold(lm, addition(lm, items, Dose(1.0, "activation")))
    close(logits(lm), expected)


@pytest.mark.parametrize("make", [tiny_lm, biased, lambda: biased(tied=True)], ids=["plain", "biased", "tied"])
def test_projected_everywhere_the_stream_never_holds_the_directions(make: object) -> None:
    lm: LanguageModel = make()  # type: ignore[operator]
    items = [direction(seed) for seed in range(3)]
    q = torch.as_tensor(projection(lm, items).basis, dtype=torch.float32)
    head = lm.model.lm_head.weight.clone()
    held = [float((hidden @ q.T).abs().max()) for hidden in stream(lm.model, IDS)]
    found = fold(lm, projection(lm, items))
    assert min(held) > 0.05
    assert max(float((hidden @ q.T).abs().max()) for hidden in stream(lm.model, IDS)) < 1e-4
    assert torch.equal(lm.model.lm_head.weight, head)
    assert found.equals.startswith("projecting 3 dimensions out of all that the embedding and blocks 0 to ")


def _projecting(lm: LanguageModel, basis: np.ndarray, modules: list[torch.nn.Module]) -> Tensor:
    """Logits with the outputs of whole modules projected, written without the library."""
    q = torch.as_tensor(basis, dtype=torch.float32)

    def hook(_m: object, _a: object, out: Tensor | tuple[Tensor, ...]) -> Tensor | tuple[Tensor, ...]:
        first = out[0] if isinstance(out, tuple) else out
        first = first - (first @ q.T) @ q
        return (first, *out[1:]) if isinstance(out, tuple) else first

    handles = [module.register_forward_hook(hook) for module in modules]
    found = logits(lm)
    for handle in handles:
        handle.remove()
    return found


PLACES: list[tuple[Where, Site | None, bool, list[int]]] = [
    ("everywhere", None, True, [0, 1, 2]),
    ("from", Site(0, "resid_pre"), False, [0, 1, 2]),
    ("from", Site(0), False, [1, 2]),
    ("from", Site(1, "resid_pre"), False, [1, 2]),
    ("at", Site(1), False, [1]),
    ("at", Site(1, "resid_pre"), False, [0]),
    ("at", Site(0, "resid_pre"), True, []),
]


@pytest.mark.parametrize(("where", "site", "embedding", "blocks"), PLACES)
def test_a_folded_projection_is_that_of_its_writers(
    where: Where, site: Site | None, embedding: bool, blocks: list[int]
) -> None:
    lm = biased(tied=True)
    edit = projection(lm, [direction(0), direction(1)], where, site)
    layers = lm.model.model.layers
    modules = [lm.model.model.embed_tokens] * embedding + [
        m for n in blocks for m in (layers[n].self_attn, layers[n].mlp)
    ]
    expected, plain = _projecting(lm, edit.basis, modules), logits(lm)
    fold(lm, edit)
    close(logits(lm), expected)
    assert float((expected - plain).abs().max()) > 0.01


def test_from_a_site_on_the_component_stays_as_it_is() -> None:
    lm = tiny_lm()
    q = torch.as_tensor(direction().unit, dtype=torch.float32)
    fold(lm, projection(lm, [direction()], "from", Site(1)))
    found = dict(zip([(n, s) for n in range(4) for s in Site.STREAMS], _by_site(lm.model), strict=True))
    at = found[1, "resid_post"] @ q
    assert float(at.abs().max()) > 0.05
    for place in ((2, "resid_post"), (3, "resid_post")):
        torch.testing.assert_close(found[place] @ q, at, rtol=0, atol=1e-4)


def _by_site(model: PreTrainedModel) -> list[Tensor]:
    found: dict[Site, Tensor] = {}
    sites = [Site(n, s) for n in range(len(model.model.layers)) for s in Site.STREAMS]
    keep = [(site, lambda h, site=site: found.update({site: h.clone()})) for site in sites]
    with residual_hooks(model, keep), torch.inference_mode():  # type: ignore[arg-type]
        model(IDS, use_cache=False)
    return [found[site] for site in sites]


def test_projecting_the_stream_between_blocks_only_is_another_model() -> None:
    """The negative twin: with hooks at block boundaries the MLP still reads what attention wrote."""
    lm = tiny_lm()
    q = torch.as_tensor(direction().unit, dtype=torch.float32)
    sites = [Site(0, "resid_pre"), *(Site(n) for n in range(4))]
    with residual_hooks(lm.model, [(site, lambda h: h - (h @ q)[..., None] * q) for site in sites]):
        boundaries = logits(lm)
    fold(lm, projection(lm, [direction()]))
    assert float((logits(lm) - boundaries).abs().max()) > 0.01


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 5), st.integers(0, 2))
def test_folding_a_projection_twice_is_folding_it_once(seed: int, k: int, block: int) -> None:
    lm = biased(seed=seed % 7)
    edit = projection(lm, [direction(seed + n) for n in range(k)], "at", Site(block))
    edit.fold(lm.model)
    once = {name: value.clone() for name, value in lm.model.state_dict().items()}
    edit.fold(lm.model)
    for name, value in lm.model.state_dict().items():
        torch.testing.assert_close(value, once[name], rtol=0, atol=1e-6)


def test_a_saved_checkpoint_is_the_same_model_elsewhere(tmp_path: Path) -> None:
    """Loaded by transformers alone, from config.json and safetensors, without anything of ours."""
    lm = biased(tied=True)
    fold(lm, addition(lm, [direction(site=Site(1)), direction(1, Site(0, "resid_pre"))], Dose(1.0, "activation")))
    lm.model.save_pretrained(tmp_path)
    lm.tokenizer.save_pretrained(tmp_path)
    assert torch.equal(logits(load_model(tmp_path, "base")), logits(lm))
    again = tiny_lm()
    fold(again, projection(again, [direction()]))
    again.model.save_pretrained(tmp_path / "p")
    theirs = LlamaForCausalLM.from_pretrained(tmp_path / "p")
    with torch.inference_mode():
        assert torch.equal(theirs(IDS, use_cache=False).logits, logits(again))


def test_qwen_takes_a_projection_and_no_addition() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Qwen2ForCausalLM(Qwen2Config(**SIZE, tie_word_embeddings=True)).eval().requires_grad_(False)
    lm = LanguageModel("base", model, tiny_tokenizer(), "0" * 64, "tiny Qwen")
    before = logits(lm)
    with pytest.raises(ConfigError, match="an addition cannot be folded into a model of the family 'qwen2', only into"):
        fold(lm, addition(lm, [direction()], Dose(1.0, "activation")))
    assert torch.equal(logits(lm), before)
    modules = [model.model.embed_tokens, *(m for layer in model.model.layers for m in (layer.self_attn, layer.mlp))]
    edit = projection(lm, [direction()])
    expected = _projecting(lm, edit.basis, modules)
    fold(lm, edit)
    close(logits(lm), expected)


def test_other_families_are_refused_before_anything_runs() -> None:
    config = GPT2Config(n_embd=32, n_head=4, n_layer=2, vocab_size=416, n_positions=64)
    lm = LanguageModel("base", GPT2LMHeadModel(config).eval(), tiny_tokenizer(), "0" * 64, "tiny GPT-2")
    for edit in (projection(lm, [direction()]), addition(lm, [direction()], Dose(1.0, "activation"))):
        with pytest.raises(ConfigError, match="cannot be folded into a model of the family 'gpt2'"):
            fold(lm, edit)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_agrees_within_its_rounding(dtype: torch.dtype) -> None:
    for edit in ("add", "project"):
        lm = tiny_lm(scale=0.1)  # type: ignore[arg-type]
        lm.model.to(dtype)
        items = [direction(site=Site(1))]
        made = addition(lm, items, Dose(3.0, "residual")) if edit == "add" else projection(lm, items)
        found = fold(lm, made)
        assert found.difference < found.change / 2
        assert all(value.dtype == dtype and not value.is_inference() for value in lm.model.parameters())


def test_an_effect_that_drowns_in_rounding_is_refused() -> None:
    lm = tiny_lm()
    lm.model.to(torch.bfloat16)
    with pytest.raises(ModelError, match=r"is not the one with adding a constant .* Fold in float32|changes nothing"):
        fold(lm, addition(lm, [direction(site=Site(1))], Dose(1e-4, "residual")))


def test_a_fold_that_does_not_agree_is_refused() -> None:
    """The comparison can fail: hooks of one edit, weights of another."""

    class Wrong(Addition):
        def fold(self, model: PreTrainedModel) -> None:
            Addition({Site(2): -self.vectors[Site(2)]}).fold(model)

    with pytest.raises(ModelError, match="the folded model is not the one with adding a constant"):
        fold(tiny_lm(), Wrong({Site(2): direction().vector}))


def test_what_does_not_fit_is_refused() -> None:
    lm = tiny_lm()
    with pytest.raises(ConfigError, match="of width 32: 'random-0' has width 5"):
        projection(lm, [direction(d=5)])
    with pytest.raises(ConfigError, match="no direction"):
        addition(lm, [], Dose(1.0, "residual"))
    with pytest.raises(ConfigError, match=r"L7\.resid_post is beyond"):
        addition(lm, [direction(site=Site(7))], Dose(1.0, "residual"))
    with pytest.raises(ConfigError, match="which is not given"):
        addition(lm, [direction()], Dose(1.0, "relative"))
    with pytest.raises(ConfigError, match=r"L9\.resid_post is beyond"):
        choose_writers(lm.model, "from", Site(9))
    with pytest.raises(ConfigError, match="nothing is written to the residual stream after L3"):
        choose_writers(lm.model, "from", Site(3))
    for where, site in (("everywhere", Site(1)), ("from", None), ("sometimes", Site(1))):
        with pytest.raises(ConfigError, match=r"got 'everywhere' with L1|got 'from' with no site|got 'sometimes'"):
            choose_writers(lm.model, where, site)  # type: ignore[arg-type]
    nothing = Direction.from_vector("gone", np.ones(32), Site(1))
    edit = projection(lm, [nothing], "at", Site(2))
    fold(lm, edit)
    with pytest.raises(ModelError, match="changes nothing in tiny random Llama"):
        fold(lm, Projection(edit.basis, Writers(False, ())))
