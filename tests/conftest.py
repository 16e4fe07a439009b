"""Fixtures for every test: reproducible randomness and the published reference data."""

from __future__ import annotations

import os
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> np.random.Generator:
    """A generator of the test's own: the same in every run, another one in every test."""
    return np.random.default_rng(zlib.crc32(request.node.nodeid.encode()))


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of the published data, where it is available."""
    folder = os.environ.get("MULTIDIR_REFERENCE")
    if not folder:
        pytest.skip("MULTIDIR_REFERENCE names no folder with the published data")
    return Path(folder)


@pytest.fixture(scope="session")
def saelens() -> Any:
    """The peer that reads and writes the same SAE folders; its imports warn about its own dependencies."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import sae_lens
    return sae_lens
