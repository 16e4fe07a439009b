"""Width, depth and number format of a model, from its configuration alone, and whether directions fit it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from transformers import AutoConfig

from multidir.errors import ConfigError, ModelError
from multidir.models.source import locate
from multidir.records.direction import Direction


@dataclass(frozen=True)
class ModelShape:
    """What a direction has to fit."""

    source: str
    """The model as it was asked for."""
    n_layers: int
    d: int
    dtype: str
    """Number format that the weights are saved in; float32 where the configuration does not say."""

    def check(self, directions: Iterable[Direction]) -> None:
        """Refuse directions that belong to another model.

        Raises:
            ConfigError: another width, or a site beyond the last block; every misfit is named.
        """
        misfits = [problem for item in directions if (problem := self._misfit(item))]
        if misfits:
            raise ConfigError(
                f"{self.source} has {self.n_layers} blocks (L0 to L{self.n_layers - 1}) and width {self.d}: "
                f"{'; '.join(misfits)}; give the model they were found in, or one of its shape"
            )

    def _misfit(self, item: Direction) -> str:
        if item.d != self.d:
            return f"{item.name!r} has width {item.d}"
        return f"{item.name!r} is at {item.site}" if item.site.layer >= self.n_layers else ""


def model_shape(source: str) -> ModelShape:
    """Width, depth and number format of the model at `source`, without loading its weights.

    Raises:
        ModelError: there is no model, or its configuration does not say.
        MissingExtra: a packaged model whose package is not installed.
    """
    located = locate(source)
    options = {"gguf_file": located.gguf_file, "revision": located.revision}
    try:
        config = AutoConfig.from_pretrained(located.name, **{k: v for k, v in options.items() if v is not None})
        text = config.get_text_config(decoder=True)
        dtype = str(config.dtype or "float32").removeprefix("torch.")
        return ModelShape(source, int(text.num_hidden_layers), int(text.hidden_size), dtype)
    except (OSError, ValueError, AttributeError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ModelError(f"cannot read the configuration of {Path(source)}: {first}; give a model folder") from error
