"""The unembedding apart from its model reads what the whole model would."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from multidir.errors import ModelError
from multidir.models.language_model import LanguageModel
from multidir.models.load import load_head, load_model
from multidir.models.unembedding import unembedding

SOURCE = "shipped:tiny/reasoning-and"


def test_with_the_norm_it_gives_the_logits_of_the_model(lm: LanguageModel) -> None:
    ids = torch.tensor([[0, 7, 9, 30]])
    seen = lm.model(ids, output_hidden_states=True)
    stream: list[torch.Tensor] = []
    handle = lm.model.model.layers[-1].register_forward_hook(
        lambda *a: stream.append(a[2] if isinstance(a[2], torch.Tensor) else a[2][0])
    )
    lm.model(ids)
    handle.remove()
    found = unembedding(lm).logits(stream[0][0].numpy(), final_norm=True)
    np.testing.assert_allclose(found, seen.logits[0].numpy(), rtol=1e-5, atol=1e-6)


def test_without_the_norm_it_is_one_product(lm: LanguageModel, rng: np.random.Generator) -> None:
    x = rng.normal(size=(3, lm.d))
    found = unembedding(lm).logits(x)
    np.testing.assert_allclose(found, x @ lm.model.lm_head.weight.numpy().T.astype(float), rtol=1e-4, atol=1e-6)
    assert not np.allclose(found, unembedding(lm).logits(x, final_norm=True))


def test_the_norm_takes_lengths_out_and_is_left_as_it_was(lm: LanguageModel, rng: np.random.Generator) -> None:
    reader, x = unembedding(lm), rng.normal(size=(2, lm.d))
    before = {name: p.clone() for name, p in reader.norm.named_parameters()}
    np.testing.assert_allclose(reader.logits(x, True), reader.logits(30 * x, True), rtol=1e-4, atol=1e-4)
    assert all(torch.equal(before[name], p) for name, p in reader.norm.named_parameters())


def test_pieces_of_the_vocabulary_do_not_matter(lm, rng, monkeypatch: pytest.MonkeyPatch) -> None:
    x = rng.normal(size=(2, lm.d))
    whole = unembedding(lm).logits(x)
    monkeypatch.setattr("multidir.models.unembedding._CHUNK_VALUES", 50 * lm.d)
    np.testing.assert_allclose(unembedding(lm).logits(x), whole, rtol=1e-4, atol=1e-5)


def test_a_model_almost_without_blocks_will_do() -> None:
    head = load_head(SOURCE, "reasoning", "cpu")
    whole = load_model(SOURCE, "reasoning", "cpu")
    assert (head.n_layers, head.complete) == (1, False)
    assert head.fingerprint == whole.fingerprint
    x = np.eye(head.d)[:2]
    np.testing.assert_array_equal(unembedding(head).logits(x, True), unembedding(whole).logits(x, True))
    with pytest.raises(ModelError, match="is not a model folder"):
        load_head("/", "base")


def test_every_id_has_the_text_it_stands_for(lm: LanguageModel) -> None:
    tokens = unembedding(lm).tokens
    assert len(tokens) == lm.vocab_size
    assert any("ait" in token for token in tokens)
    assert tokens[lm.tokenizer.eos_token_id] == lm.tokenizer.eos_token
    assert all(text == "" for text in tokens[len(lm.tokenizer) :])


def test_a_model_without_a_head_or_a_norm_says_so(lm: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("multidir.models.unembedding.NORMS", ("gone",))
    with pytest.raises(ModelError, match="cannot find the final norm of LlamaForCausalLM; tried gone"):
        unembedding(lm)
    monkeypatch.setattr(type(lm.model), "get_output_embeddings", lambda _: None)
    with pytest.raises(ModelError, match="has no unembedding"):
        unembedding(lm)
