"""Fixtures for every test: reproducible randomness, the published reference data, and no network."""

from __future__ import annotations

import importlib.util
import os
import sys
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

settings.register_profile("no clock", deadline=None)  # how long an example takes says how busy the machine is
settings.load_profile("no clock")

GUARD = Path(__file__).parent / "guard"


def _load_guard() -> ModuleType:
    """Refuse the network in this process and, by way of the path, in every Python process that it starts."""
    spec = importlib.util.spec_from_file_location("multidir_test_guard", GUARD / "sitecustomize.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(GUARD), os.environ.get("PYTHONPATH"))))
    return module


guard = _load_guard()


@pytest.fixture(autouse=True)
def no_network() -> Iterator[ModuleType]:
    """Fails the test that tried to leave this machine, even where a library swallowed the refusal."""
    guard.ATTEMPTS.clear()
    yield guard
    assert not guard.ATTEMPTS


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
