"""Blocks, sites and hooks."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from transformers import GPT2Config, GPT2LMHeadModel

from multidir.errors import ConfigError, ModelError
from multidir.models.blocks import check_site, decoder, decoder_blocks, width
from multidir.models.hooks import residual_hook, residual_hooks
from multidir.models.language_model import LanguageModel
from multidir.records.site import Site

IDS = torch.tensor([[0, 5, 6, 7], [0, 9, 8, 7]])


def hooks_of(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def hidden_states(lm: LanguageModel) -> tuple[torch.Tensor, ...]:
    return lm.model(IDS, output_hidden_states=True).hidden_states


def test_blocks_of_llama_with_and_without_head(lm: LanguageModel) -> None:
    assert len(decoder_blocks(lm.model)) == len(decoder_blocks(lm.model.model)) == 4
    assert decoder(lm.model) is lm.model.model
    assert width(lm.model) == 32


def test_blocks_of_gpt2_are_found_and_its_output_is_edited_in_every_row() -> None:
    model = GPT2LMHeadModel(GPT2Config(n_layer=2, n_embd=16, n_head=2, vocab_size=50, n_positions=16)).eval()
    assert len(decoder_blocks(model)) == 2
    before = model(IDS).logits
    with residual_hook(model, Site(1), lambda h: h + 1):
        after = model(IDS).logits
    assert (before != after).any(-1).all()


def test_unknown_architecture_lists_what_was_tried() -> None:
    with pytest.raises(ModelError, match=r"tried model\.layers, layers, .*transformer\.h"):
        decoder_blocks(nn.Linear(2, 2))


def test_layer_beyond_the_model_names_the_range(lm: LanguageModel) -> None:
    check_site(lm.model, Site(3))
    with pytest.raises(ConfigError, match=r"L4\.resid_post is beyond this model, whose 4 blocks are L0 to L3"):
        check_site(lm.model, Site(4))


@pytest.mark.parametrize("layer", [0, 1, 2])
def test_off_by_one_site_naming(lm: LanguageModel, layer: int) -> None:
    """resid_post of block L is hidden_states[L + 1], and is resid_pre of block L + 1."""
    seen: dict[Site, torch.Tensor] = {}
    sites = [Site(layer), Site(layer, "resid_pre"), Site(layer + 1, "resid_pre")]
    with residual_hooks(lm.model, [(s, lambda h, s=s: seen.__setitem__(s, h.clone())) for s in sites]):
        states = hidden_states(lm)
    for site in sites:
        assert torch.equal(seen[site], states[site.hidden_states_index])
    assert torch.equal(seen[Site(layer)], seen[Site(layer + 1, "resid_pre")])
    assert not torch.equal(seen[Site(layer)], states[layer])


@pytest.mark.parametrize("as_tuple", [False, True])
def test_tensor_and_tuple_block_outputs_are_edited_in_every_row(lm: LanguageModel, as_tuple: bool) -> None:
    class Block(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, *args: object, **kwargs: object) -> object:
            out = self.inner(*args, **kwargs)
            return (out, "cache") if as_tuple else out

    class Unpack(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, hidden: object, **kwargs: object) -> object:
            return self.inner(hidden[0] if isinstance(hidden, tuple) else hidden, **kwargs)

    model = copy.deepcopy(lm.model)
    plain = model(IDS).logits
    model.model.layers[1] = Block(model.model.layers[1])
    model.model.layers[2] = Unpack(model.model.layers[2])
    assert torch.equal(model(IDS).logits, plain)
    with residual_hook(model, Site(1), lambda h: h + 1):
        steered = model(IDS).logits
    assert (steered != plain).any(-1).all(), "every position of every batch row"


def test_resid_pre_edit_reaches_the_block(lm: LanguageModel) -> None:
    with residual_hook(lm.model, Site(2, "resid_pre"), lambda h: h + 1):
        pre = lm.model(IDS).logits
    with residual_hook(lm.model, Site(1), lambda h: h + 1):
        assert torch.equal(lm.model(IDS).logits, pre)


def test_resid_pre_of_a_block_called_by_keyword(lm: LanguageModel) -> None:
    block = decoder_blocks(lm.model)[0]
    hidden = torch.randn(1, 3, 32)
    cos_sin = lm.model.model.rotary_emb(hidden, torch.arange(3)[None])
    plain = block(hidden, position_embeddings=cos_sin)
    with residual_hook(lm.model, Site(0, "resid_pre"), lambda h: h * 2):
        edited = block(hidden_states=hidden, position_embeddings=cos_sin)
    assert torch.equal(edited, block.forward(hidden * 2, position_embeddings=cos_sin))
    assert torch.equal(block(hidden, position_embeddings=cos_sin), plain)


def test_all_hooks_or_none(lm: LanguageModel) -> None:
    with pytest.raises(ConfigError), residual_hooks(lm.model, [(Site(0), lambda h: h), (Site(99), lambda h: h)]):
        pass
    assert hooks_of(lm.model) == 0


def test_no_hook_left_after_an_exception_and_state_dict_unchanged(lm: LanguageModel) -> None:
    before = {k: v.clone() for k, v in lm.model.state_dict().items()}
    clean = lm.model(IDS).logits

    def fails(hidden: torch.Tensor) -> torch.Tensor:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), residual_hook(lm.model, Site(1), fails):
        lm.model(IDS)
    after = lm.model.state_dict()
    assert hooks_of(lm.model) == 0
    assert before.keys() == after.keys()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert torch.equal(lm.model(IDS).logits, clean)


def test_edit_that_changes_shape_or_dtype_is_refused(lm: LanguageModel) -> None:
    with pytest.raises(ModelError, match="must keep both"), residual_hook(lm.model, Site(1), lambda h: h[:, :1]):
        lm.model(IDS)
    with pytest.raises(ModelError, match="must keep both"), residual_hook(lm.model, Site(1), lambda h: h.double()):
        lm.model(IDS)


def test_output_that_is_no_residual_stream_is_refused(lm: LanguageModel) -> None:
    model = copy.deepcopy(lm.model)
    model.model.layers[3] = nn.Flatten()

    class Swallow(nn.Module):
        def forward(self, hidden: torch.Tensor, **kwargs: object) -> torch.Tensor:
            return hidden[..., :7]

    model.model.layers[2] = Swallow()
    message = r"L2\.resid_post of Swallow: expected a residual stream \(batch, tokens, 32\), got \(2, 4, 7\)"
    with pytest.raises(ModelError, match=message), residual_hook(model, Site(2), lambda h: h):
        model(IDS)
