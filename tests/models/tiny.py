"""A randomly initialised Llama of a few thousand weights with a byte-level tokenizer that knows its words."""

from __future__ import annotations

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from multidir.models.language_model import LanguageModel

TEXTS = ["Wait, that is not right. Go back to 12 + 30 = 42.", "Hmm, maybe the café sells naïve crème brûlée."] * 4
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|User|>{{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|Assistant|><think>\n{% endif %}"
)


def tiny_tokenizer(chat: bool = True) -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<bos>", "<eos>", "<pad>", "<|User|>", "<|Assistant|>"],
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(TEXTS, trainer)
    bpe.add_tokens(["<think>", "</think>"])
    bpe.post_processor = processors.TemplateProcessing(single="<bos> $A", special_tokens=[("<bos>", 0)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<bos>",
        eos_token="<eos>",
        pad_token="<pad>",
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = TEMPLATE if chat else None
    return tokenizer


def tiny_llama(seed: int = 0, layers: int = 4, d: int = 32, vocab: int = 416, scale: float = 0.3) -> LlamaForCausalLM:
    """Weights large enough that greedy text depends on the prompt."""
    config = LlamaConfig(
        vocab_size=vocab,
        hidden_size=d,
        intermediate_size=2 * d,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=scale,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=2,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(config).eval().requires_grad_(False)
    model.generation_config = GenerationConfig(
        do_sample=True, temperature=0.8, top_p=0.95, bos_token_id=0, eos_token_id=1, pad_token_id=2
    )
    return model


def tiny_lm(seed: int = 0, **shape: int) -> LanguageModel:
    return LanguageModel("reasoning", tiny_llama(seed, **shape), tiny_tokenizer(), "0" * 64, "tiny random Llama")
