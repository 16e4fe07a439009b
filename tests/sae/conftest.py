"""What the tests of this layer share: SAELens, imported once and without its warnings."""

from __future__ import annotations

import warnings
from typing import Any

import pytest


@pytest.fixture(scope="session")
def saelens() -> Any:
    """The peer that reads and writes the same format; its imports warn about its own dependencies."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import sae_lens
    return sae_lens
