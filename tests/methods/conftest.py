"""A store with a planted direction."""

from __future__ import annotations

import pytest

from multidir.store.activations import ActivationStore
from tests.methods.planted import planted_store


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> ActivationStore:
    return planted_store(tmp_path_factory.mktemp("planted") / "store")
