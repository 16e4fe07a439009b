from __future__ import annotations

import pytest
import torch

from multidir.models.language_model import LanguageModel
from tests.models.tiny import tiny_lm


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def lm() -> LanguageModel:
    return tiny_lm()
