"""A slice of the real path: published traces through a packaged real language model."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import torch

from multidir.config import Compute
from multidir.models.load import load_model
from multidir.recipes.preset import load_preset
from multidir.recipes.study import run_study
from multidir.records.site import Site
from multidir.store.activations import ActivationStore

pytestmark = pytest.mark.real
PRESET = str(Path(__file__).parents[1] / "data" / "smollm2_slice.toml")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, reference: Path) -> Path:
    folder = tmp_path_factory.mktemp("real")
    run_study(load_preset(PRESET), Compute(runs=folder, batch_tokens=4096))
    return folder


def test_it_ends_in_a_report(runs: Path) -> None:
    assert list(runs.glob("analysis/report/*/report.html"))
    table = pd.read_csv(next(runs.glob("train/directions/*/directions.csv")))
    assert (table["length"] > 0).all()


def test_stored_activations_are_the_models_own(runs: Path) -> None:
    """What the truncated model wrote to disk equals `hidden_states[11]` of the whole one, to bfloat16."""
    store = ActivationStore.open(next(runs.glob("data/activations/*/store")))
    trace = store.trace(store.traces[0].id)
    lm = load_model("packaged:smollm2", "base")
    with torch.inference_mode():
        states = lm.model(torch.tensor([trace.token_ids]), output_hidden_states=True).hidden_states[11][0]
    stored = torch.from_numpy(store.rows("base", Site(10), store.trace_rows(trace.id)))
    assert torch.allclose(stored, states.float(), rtol=2**-7, atol=2**-7 * states.abs().median().item())
