"""The same tiny model as in the tests of models."""

from __future__ import annotations

from tests.models.conftest import _one_thread, lm

__all__ = ["_one_thread", "lm"]
