"""The packaged SmolLM2: loaded from its GGUF file, tokenised, captured and continued."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from multidir.models.align import decode_text, token_spans
from multidir.models.capture import capture
from multidir.models.generate import generate
from multidir.models.language_model import LanguageModel
from multidir.models.load import load_model, save_model
from multidir.models.prompting import encode, render_prompt
from multidir.models.sampling import Sampling
from multidir.records.intervention import Dose, Intervention
from multidir.records.site import Site
from multidir.steer.fold import addition, fold, projection
from multidir.steer.steering import steer
from tests.steer.arms import direction

pytestmark = [pytest.mark.real, pytest.mark.filterwarnings("default")]


@pytest.fixture(scope="module")
def smollm() -> LanguageModel:
    return load_model("packaged:smollm2", "reasoning", device="cpu")


def test_it_is_what_it_says(smollm: LanguageModel) -> None:
    assert (smollm.n_layers, smollm.d, smollm.vocab_size, smollm.dtype) == (30, 576, 49152, torch.float32)
    assert smollm.tokenizer.convert_ids_to_tokens(list(smollm.eos_ids)) == ["<|im_end|>"]
    assert sum(p.numel() for p in smollm.model.parameters()) == pytest.approx(134.5e6, rel=0.01)


def test_it_speaks(smollm: LanguageModel) -> None:
    ids = render_prompt(smollm.tokenizer, "What is the capital of France?")
    (found,) = generate(smollm, [ids], [0], Sampling(False, max_new_tokens=12))
    assert "Paris" in decode_text(smollm.tokenizer, found.new_ids)


def test_every_row_and_position_is_steered(smollm: LanguageModel) -> None:
    ids = torch.tensor([encode(smollm.tokenizer, "Wait, that is not right.")]).expand(3, -1)
    plain = smollm.model(ids).logits
    with steer(smollm, Intervention(direction(d=smollm.d, site=Site(10)), Dose(5.0, "residual"))) as edits:
        steered = smollm.model(ids).logits
    assert (steered != plain).any(-1).all()
    assert edits[0].edited.tolist() == [ids.numel()]


def test_lower_blocks_alone_capture_the_same(smollm: LanguageModel) -> None:
    lower = load_model("packaged:smollm2", "reasoning", device="cpu", upto_layer=10)
    assert (lower.n_layers, lower.fingerprint) == (11, smollm.fingerprint)
    ids = [encode(smollm.tokenizer, "Wait, that is not right. Let me think again.")]
    (_, a), (_, b) = *capture(smollm, ids, [Site(10)]), *capture(lower, ids, [Site(10)])
    assert torch.equal(a[Site(10)], b[Site(10)])


def test_folded_and_saved_it_is_an_ordinary_llama(smollm: LanguageModel, tmp_path: Path) -> None:
    """Dequantised weights are saved as floats, the head untied from the embedding, a bias in the MLP."""
    lm = load_model("packaged:smollm2", "reasoning", device="cpu")
    ids = torch.tensor([encode(lm.tokenizer, "Wait, that is not right.")])
    items = [direction(d=lm.d, site=Site(10))]
    with steer(smollm, Intervention(items[0], Dose(30.0, "residual"))):
        steered = smollm.model(ids).logits
    found = fold(lm, addition(lm, items, Dose(30.0, "residual")))
    assert found.difference < 1e-4 < found.change
    save_model(lm, tmp_path)
    loaded = load_model(tmp_path, "reasoning", device="cpu")
    torch.testing.assert_close(loaded.model(ids).logits, steered, rtol=1e-3, atol=1e-3)
    found = fold(loaded, projection(loaded, items))
    assert found.difference < 1e-4 < found.change
    assert not loaded.model.config.tie_word_embeddings


def test_spans_of_published_traces_are_exact(smollm: LanguageModel, reference: Path) -> None:
    file = reference / "r1_llama8b_traces_300.jsonl"
    count = 0
    for line in file.read_text(encoding="utf-8").splitlines():
        text = json.loads(line)["reasoning"]
        spans = token_spans(smollm.tokenizer, encode(smollm.tokenizer, text), text)
        assert spans[0][0] == 0
        assert spans[-1][1] == len(text)
        count += len(spans)
    assert count > 100_000
