"""Loading a model with its tokenizer from a folder, a package or the hub's cache."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging as transformers_logging
from transformers.utils.hub import cached_file

from multidir.errors import ConfigError, MissingExtra, ModelError, MultidirError
from multidir.models.blocks import decoder_blocks
from multidir.models.device import named_device
from multidir.models.language_model import LanguageModel
from multidir.models.source import Located, locate
from multidir.store.atomic import explain, make_folder, sha256_file
from multidir.store.provenance import fingerprint_model
from multidir.types import Role


def load_model(
    source: str | Path,
    role: Role,
    device: str = "auto",
    dtype: str = "auto",
    gguf_file: str | None = None,
    upto_layer: int | None = None,
) -> LanguageModel:
    """Load a causal language model from a folder, a package or the hub's cache.

    Args:
        source: folder, `org/name[@revision]`, `shipped:NAME` or `packaged:NAME`.
        role: which model of the pair this is.
        device: `auto` is CUDA when there is one, otherwise the CPU.
        dtype: `auto` is float32 on a CPU and the checkpoint's own on a GPU.
        gguf_file: file in the folder to read the weights from, dequantised.
        upto_layer: load the embedding and blocks 0 to this one only; for capture, which needs no more. Nothing above
            is read or held in memory (of a GGUF file everything is read, and then let go). Cannot generate.
    Raises:
        ModelError: nothing loadable there; the message says what is missing.
        MissingExtra: a packaged model without its package, or a GGUF file without the `gguf` package.
    """
    located = locate(str(source), gguf_file)
    where = named_device(device)
    with _quiet():
        tokenizer = _load_tokenizer(located, str(source))
        model = _load_weights(located, str(source), _dtype(dtype, where), upto_layer)
    cast(Any, model).to(where).eval().requires_grad_(False)
    return LanguageModel(role, model, tokenizer, _fingerprint(located), str(source), complete=upto_layer is None)


def load_head(source: str | Path, role: Role, device: str = "auto") -> LanguageModel:
    """A model almost without blocks, for its unembedding: 2 GB instead of 16 at 8B, in the checkpoint's own type.

    Raises:
        ModelError, MissingExtra: as `load_model`.
    """
    located = locate(str(source))
    where = named_device(device)
    with _quiet():
        tokenizer = _load_tokenizer(located, str(source))
        with _explained(str(source), "model"):
            options = _options(located)
            if located.gguf_file is None:
                options["config"] = _truncated(AutoConfig.from_pretrained(located.name, **options), 0, str(source))
            model: Any = AutoModelForCausalLM.from_pretrained(located.name, dtype="auto", **options)
    model.to(where).eval().requires_grad_(False)
    return LanguageModel(role, model, tokenizer, _fingerprint(located), str(source), complete=False)


def load_tokenizer(source: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model, without its weights.

    Raises:
        ModelError: nothing loadable there.
        MissingExtra: as `load_model`.
    """
    with _quiet():
        return _load_tokenizer(locate(str(source)), str(source))


def load_generation_config(source: str | Path) -> Any:
    """The generation config of a model, without its weights; None where it has none."""
    located = locate(str(source))
    try:
        return GenerationConfig.from_pretrained(located.name, **_options(located))
    except OSError:
        return None


def save_model(lm: LanguageModel, folder: Path) -> None:
    """Write a model folder that transformers and other engines load: weights, configuration, tokenizer.

    Raises:
        ConfigError: the folder cannot be written.
        ModelError: the model lacks its upper blocks.
    """
    lm.require_complete("save a model")
    make_folder(folder)
    try:
        with _quiet():
            lm.model.save_pretrained(folder)
            lm.tokenizer.save_pretrained(folder)
    except OSError as error:
        raise explain(error, folder) from error


def _dtype(name: str, device: torch.device) -> torch.dtype | str:
    if name == "auto":
        return torch.float32 if device.type == "cpu" else "auto"
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise ConfigError(f"no floating dtype {name!r}; choose auto, float32, bfloat16 or float16")
    return found


def _options(located: Located) -> dict[str, Any]:
    options: dict[str, Any] = {"gguf_file": located.gguf_file, "revision": located.revision}
    return {key: value for key, value in options.items() if value is not None}


def _load_tokenizer(located: Located, source: str) -> PreTrainedTokenizerBase:
    with _explained(source, "tokenizer"):
        tokenizer = AutoTokenizer.from_pretrained(located.name, **_options(located))
    if not getattr(tokenizer, "is_fast", False) or not len(tokenizer):
        raise ModelError(f"{source} has no usable tokenizer.json; save the tokenizer into the model folder")
    return tokenizer


def _load_weights(located: Located, source: str, dtype: torch.dtype | str, upto_layer: int | None) -> PreTrainedModel:
    options = _options(located)
    with _explained(source, "model"):
        if upto_layer is not None and located.gguf_file is None:
            options["config"] = _truncated(AutoConfig.from_pretrained(located.name, **options), upto_layer, source)
        kind: Any = AutoModelForCausalLM if upto_layer is None else AutoModel  # no head: 1 GB less at 8B
        loaded: Any = kind.from_pretrained(located.name, dtype=dtype, output_loading_info=True, **options)
    model, report = cast(tuple[PreTrainedModel, dict[str, Any]], loaded)
    if report["missing_keys"]:
        raise ModelError(
            f"the weights of {source} lack {', '.join(sorted(report['missing_keys'])[:5])}, which its config.json "
            "promises; the folder is incomplete or mixes two models"
        )
    if located.gguf_file is not None:
        # The weights are ordinary floats by now, but transformers would refuse to save them as quantised ones.
        cast(Any, model).hf_quantizer = None
        vars(model.config).pop("quantization_config", None)
        if upto_layer is not None:
            _cut(model, upto_layer, source)
    return model


def _truncated(config: Any, layer: int, source: str) -> Any:
    text = config.get_text_config(decoder=True)
    if layer >= text.num_hidden_layers:
        raise ConfigError(
            f"{source} has {text.num_hidden_layers} blocks, L0 to L{text.num_hidden_layers - 1}; got L{layer}"
        )
    text.num_hidden_layers = layer + 1
    follows = isinstance(getattr(type(text), "layer_types", None), property)
    if getattr(text, "layer_types", None) and not follows:
        text.layer_types = text.layer_types[: layer + 1]
    return config


def _cut(model: PreTrainedModel, layer: int, source: str) -> None:
    _truncated(model.config, layer, source)
    del decoder_blocks(model)[layer + 1 :]


def _fingerprint(located: Located) -> str:
    if located.gguf_file is not None:
        return sha256_file(Path(located.name) / located.gguf_file)
    if located.is_folder:
        return fingerprint_model(Path(located.name))
    config = cached_file(located.name, "config.json", revision=located.revision)
    return fingerprint_model(Path(str(config)).parent)


@contextmanager
def _explained(source: str, what: str) -> Iterator[None]:
    try:
        yield
    except MultidirError:
        raise
    except ImportError as error:
        if "gguf" in str(error).lower():
            raise MissingExtra("a .gguf file needs the Python package gguf: pip install 'multidir[real]'") from error
        raise
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ModelError(
            f"cannot load the {what} of {source}: {first}; give a folder with config.json, *.safetensors and "
            "tokenizer.json, or a hub id that this machine can reach or has cached"
        ) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bars and its report on weights left out on purpose."""
    voice: Any = transformers_logging
    level, bars = voice.get_verbosity(), voice.is_progress_bar_enabled()
    voice.set_verbosity_error()
    voice.disable_progress_bar()
    try:
        yield
    finally:
        voice.set_verbosity(level)
        if bars:
            voice.enable_progress_bar()
