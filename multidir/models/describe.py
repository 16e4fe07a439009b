"""What has to be known of a model so that whatever was made with it can be made again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from multidir.models.language_model import LanguageModel
from multidir.store.atomic import sha256_bytes


def describe(lm: LanguageModel) -> dict[str, Any]:
    """Facts of a loaded model as JSON values; where its files lie is not among them.

    Returns:
        `source` (a folder by its name only), `revision` (commit on the hub, or None), `fingerprint` (hash over
        config, weights and tokenizer files), `architecture`, `dtype` and `attention` of the computation, sha256
        of the tokenizer (`tokenizer`) and of the chat template (`chat_template`, or None).
    """
    config: Any = lm.model.config
    template = getattr(lm.tokenizer, "chat_template", None)
    return {
        "source": Path(lm.source).name if Path(lm.source).is_dir() else lm.source,
        "revision": getattr(config, "_commit_hash", None),
        "fingerprint": lm.fingerprint,
        "architecture": next(iter(getattr(config, "architectures", None) or [type(lm.model).__name__])),
        "dtype": str(lm.dtype).removeprefix("torch."),
        "attention": getattr(config, "_attn_implementation", None),
        "tokenizer": sha256_bytes(lm.tokenizer.backend_tokenizer.to_str().encode()),
        "chat_template": None if template is None else sha256_bytes(str(template).encode()),
    }
