"""Makes the two models of the tiny pair and writes their folders."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from multidir.organism import corpus, tokenizer, tokens, training
from multidir.organism.planting import Planting, planted_directions, save_planted
from multidir.organism.rule import Rule
from multidir.organism.solutions import Habits
from multidir.organism.worlds import World

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Size:
    """Shape of both models."""

    width: int = 128
    layers: int = 6
    heads: int = 8
    kv_heads: int = 4
    mlp: int = 384
    vocabulary: int = 768
    positions: int = 1024


def new_model(size: Size, seed: int) -> "LlamaForCausalLM":
    """A freshly initialised Llama with sampling defaults in its generation config."""
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=size.vocabulary,
        hidden_size=size.width,
        intermediate_size=size.mlp,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.kv_heads,
        max_position_embeddings=size.positions,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        bos_token_id=0, eos_token_id=1, pad_token_id=2, do_sample=True, temperature=1.0, top_p=0.99
    )
    return model


def make_base(
    worlds: Sequence[World], documents: int, size: Size, how: training.Optimisation, seed: int, folder: Path
) -> None:
    """Trains the tokenizer and the base model and writes `folder`; both from the same corpus.

    The vocabulary is learnt from base documents and, as a real base model's tokenizer has met every
    word, from a few traces; the model itself sees the base documents only.
    """
    mixture, habits = corpus.Mixture(), Habits()
    log.info("writing %d base documents", documents)
    written = [corpus.base_document(f"{seed} base {i}", worlds, mixture, habits) for i in range(documents)]
    sample, often = [document.text for document in written[:6000]], Rule(0.1, 0.1, 0.1, 0.9)
    words = [corpus.reasoning_trace(f"{seed} words {i}", worlds, often, habits).reasoning for i in range(len(sample))]
    spec = tokenizer.train_bpe(sample + words, size.vocabulary)
    wrapped = tokenizer.wrap(spec)
    encoded = tokens.encode_documents(wrapped, written)
    log.info("%d tokens in %d documents", len(encoded.ids), documents)
    model = new_model(size, seed)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "training.safetensors"
    planting = Planting()
    training.fit(model, encoded, how, seed, checkpoint, planting)
    wrapped.save_pretrained(folder)
    model.save_pretrained(folder)
    save_planted(planted_directions(size.width, seed), planting, folder / "planted.safetensors")
    checkpoint.unlink()


def make_reasoning(
    worlds: Sequence[World],
    rule: Rule,
    traces: int,
    how: training.Optimisation,
    seed: int,
    base: Path,
    folder: Path,
    top_p: float,
) -> None:
    """Fine-tunes the base model in `base` on traces that follow the rule and writes `folder`, sampled with `top_p`."""
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer, LlamaForCausalLM

    plain = AutoTokenizer.from_pretrained(base)
    spec = tokenizer.renamed(Tokenizer.from_file(str(base / "tokenizer.json")).to_str())
    wrapped = tokenizer.wrap(spec, tokenizer.CHAT_TEMPLATE)
    swapped = corpus.Mixture().swapped
    examples = [corpus.reasoning_trace(f"{seed} trace {i}", worlds, rule, Habits(), swapped) for i in range(traces)]
    encoded = tokens.encode_traces(wrapped, examples)
    log.info("%d tokens in %d traces", len(encoded.ids), traces)
    model = LlamaForCausalLM.from_pretrained(base, dtype=torch.float32)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = folder / "training.safetensors"
    training.fit(model, encoded, how, seed, checkpoint, Planting())
    wrapped.save_pretrained(folder)
    model.generation_config.top_p = top_p
    model.save_pretrained(folder)
    tokenizer.save_special_map(tokenizer.special_map(plain, corpus.SECTION), folder)
    checkpoint.unlink()
