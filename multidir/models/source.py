"""From a model source as people write it to a folder or hub id that transformers can load."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from multidir import resources
from multidir.errors import ConfigError, ModelError
from multidir.models.packaged import packaged_model


@dataclass(frozen=True)
class Located:
    """Where a model's files are."""

    name: str
    """Folder, or hub id."""
    revision: str | None = None
    gguf_file: str | None = None

    @property
    def is_folder(self) -> bool:
        """Whether it lies on this machine, as far as the name can tell."""
        return Path(self.name).is_dir()


def locate(source: str, gguf_file: str | None = None) -> Located:
    """Resolve `shipped:NAME`, `packaged:NAME`, a folder, `org/name` or `org/name@revision`.

    Raises:
        ModelError: a folder that does not exist, or one without a model in it.
        MissingExtra: a packaged model whose package is not installed.
    """
    kind, _, rest = source.partition(":")
    if kind == "packaged" and rest:
        folder, file = packaged_model(rest)
        return Located(str(folder), None, file)
    if kind == "shipped" and rest:
        return _folder(_shipped(rest), source, gguf_file)
    if Path(source).is_dir():
        return _folder(Path(source), source, gguf_file)
    name, _, revision = source.partition("@")
    if not _is_hub_id(name):
        raise ModelError(f"no model at {source}: the folder does not exist; give a model folder or a hub id org/name")
    return Located(name, revision or None, gguf_file)


def _is_hub_id(name: str) -> bool:
    return name.count("/") <= 1 and not name.startswith((".", "/", "~")) and bool(name) and "\\" not in name


def _shipped(name: str) -> Path:
    try:
        return resources.path(name)
    except ConfigError as error:
        raise ModelError(f"{error}; rebuild it with `multidir run train/tiny` or give another model") from error


def _folder(folder: Path, source: str, gguf_file: str | None) -> Located:
    if gguf_file is not None:
        if not (folder / gguf_file).is_file():
            raise ModelError(f"{source} holds no {gguf_file}; check the file name")
        return Located(str(folder), None, gguf_file)
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{source} is not a model folder: it has no config.json; give the folder save_pretrained wrote"
        )
    if not any(folder.glob("*model*.safetensors")):
        raise ModelError(
            f"{source} has a config.json but no weights (model*.safetensors); copy or download the weights, "
            "or convert old .bin files with save_pretrained"
        )
    return Located(str(folder))
