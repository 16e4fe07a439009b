"""The byte-level BPE tokenizer in two faces: for the base model, and for the reasoning model."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from multidir.errors import ConfigError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

BOS, EOS, PAD = "<|begin_of_text|>", "<|end_of_text|>", "<|pad|>"
RESERVED = tuple(f"<|reserved_{n}|>" for n in range(4))
REASONING = ("<|User|>", "<|Assistant|>", "<think>", "</think>")
"""What the reserved ids are called in the reasoning model's tokenizer, in the order of `RESERVED`."""

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m['role'] == 'user' %}<|User|>{{ m['content'] }}"
    "{% elif m['role'] == 'assistant' %}<|Assistant|>"
    "{{ m['content'].split('</think>')[-1] }}{{ eos_token }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|Assistant|><think>\n{% endif %}"
)
"""Opens the reasoning for the model and drops the reasoning of earlier turns, as the R1 distillates' template does."""


def train_bpe(texts: Iterable[str], vocab_size: int) -> str:
    """The `tokenizer.json` of a BPE over bytes; any text round-trips through it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    specials = [BOS, EOS, PAD, *RESERVED]
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=specials, initial_alphabet=alphabet, show_progress=False
    )
    bpe.train_from_iterator(texts, trainer)
    bpe.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, 0)])
    return str(bpe.to_str())


def renamed(tokenizer_json: str) -> str:
    """The same tokenizer with the reserved ids called by their reasoning names.

    As in the R1 distillates the two role markers are special tokens (left out when decoding with
    `skip_special_tokens`) and the two think markers are not.
    """
    spec = json.loads(tokenizer_json)
    names = dict(zip(RESERVED, REASONING, strict=True))
    for token in spec["added_tokens"]:
        token["content"] = names.get(token["content"], token["content"])
        token["special"] = "think" not in token["content"]
    spec["model"]["vocab"] = {names.get(t, t): i for t, i in spec["model"]["vocab"].items()}
    return json.dumps(spec, ensure_ascii=False)


def wrap(tokenizer_json: str, chat_template: str | None = None) -> "PreTrainedTokenizerFast":
    """The tokenizer as transformers wants it; pads on the left, ready for generation."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=Tokenizer.from_str(tokenizer_json),
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
    )
    tokenizer.chat_template = chat_template
    return tokenizer


def special_map(base: "PreTrainedTokenizerBase", section: str) -> dict[int, int]:
    """Reserved id -> id of the section mark: how a reasoning token sequence is shown to the base model.

    Raises:
        ConfigError: the section mark is more than one token.
    """
    ids = base.encode(section, add_special_tokens=False)
    if len(ids) != 1:
        raise ConfigError(f"the section mark {section!r} is {len(ids)} tokens, must be one; train on more text")
    return {base.encode(token, add_special_tokens=False)[0]: ids[0] for token in RESERVED}


def save_special_map(table: dict[int, int], folder: Path) -> None:
    """Writes `special_map.json` next to the reasoning model."""
    (folder / "special_map.json").write_text(json.dumps({str(k): v for k, v in table.items()}) + "\n", encoding="utf-8")
