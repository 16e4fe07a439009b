"""Other programs see the same numbers: HDF5 views, safetensors, parquet, AnnData, SAE data providers."""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open

from multidir.errors import ConfigError, MissingExtra
from multidir.store.activations import ActivationStore
from multidir.store.export import activation_batches, export_anndata, export_safetensors, export_tables
from multidir.store.shuffle import Shuffle
from multidir.store.view import write_view
from tests.store.conftest import Made
from tests.store.stores import SITES, write

KEY = ("reasoning", SITES[1])


def test_the_view_shows_all_shards_and_moves_with_them(made: Made, tmp_path: Path) -> None:
    write_view(made.store)
    token_ids = made.store.token_ids
    shutil.move(made.store.path, tmp_path / "moved")
    with h5py.File(tmp_path / "moved" / "view.h5") as file:
        np.testing.assert_array_equal(file["acts/reasoning/L3.resid_pre"][:], made.all_rows(KEY))
        assert file["acts/reasoning/L3.resid_pre"].is_virtual
        assert file["acts/reasoning/L3.resid_pre"].id.get_type().get_size() == 2
        np.testing.assert_array_equal(file["tokens/id"][:], token_ids)
        np.testing.assert_array_equal(file["tokens/trace"][:], made.store.trace_index)
        assert file["traces/id"].asstr()[:].tolist() == [trace.id for trace in made.traces]
    assert ActivationStore.open(tmp_path / "moved").verify() == []


def test_an_empty_store_has_no_view(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="has no rows to view"):
        write_view(write(tmp_path / "s", []))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_safetensors_hold_the_same_bits(make_store: Callable[..., ActivationStore], tmp_path: Path, dtype: str) -> None:
    store = make_store("s", dtype=dtype)
    export_safetensors(store, tmp_path / "x.safetensors")
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        for key in store.spec.keys:
            tensor = file.get_tensor(f"acts/{key[0]}/{key[1]}")
            assert tensor.dtype == getattr(torch, dtype)
            np.testing.assert_array_equal(tensor.float().numpy(), store.rows(*key, slice(None)))
        np.testing.assert_array_equal(file.get_tensor("tokens/trace").numpy(), store.trace_index)
        assert file.metadata()["content_hash"] == store.content_hash
        assert json.loads(file.metadata()["traces"])[1] == ["t1", 17, 37]


def test_tables_are_parquet(made: Made, tmp_path: Path) -> None:
    assert [path.name for path in export_tables(made.store, tmp_path / "t")] == [
        "traces.parquet",
        "tokens.parquet",
        "sentences.parquet",
    ]
    traces, tokens, sentences = (
        pd.read_parquet(tmp_path / "t" / f"{name}.parquet") for name in ("traces", "tokens", "sentences")
    )
    assert traces["id"].tolist() == [trace.id for trace in made.traces]
    np.testing.assert_array_equal(tokens["token_id"], made.store.token_ids)
    assert tokens["trace"].astype(str).iloc[20] == "t1"
    assert sentences["label"].isna().sum() == sum(s.label is None for s in made.sentences)
    assert sentences["char_end"].tolist() == [s.char_end for s in made.sentences]


def test_sae_trainers_get_full_float_batches_without_end(made: Made) -> None:
    batches = list(islice(activation_batches(made.store, *KEY, Shuffle(50, 0, 4, 32)), 10))
    assert {tuple(batch.shape) for batch in batches} == {(50, made.store.d)}
    assert {batch.dtype for batch in batches} == {torch.float32}
    known = {row.tobytes() for row in made.all_rows(KEY)}
    assert all(row.tobytes() in known for batch in batches for row in batch.numpy())


def test_anndata_is_an_extra(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "anndata", None)
    with pytest.raises(MissingExtra, match=r"pip install 'multidir\[anndata\]'"):
        export_anndata(made.store, tmp_path / "x.h5ad", *KEY)


def test_anndata_gets_rows_and_token_facts(made: Made, tmp_path: Path) -> None:
    """Written and read back by the package itself."""
    rows = [0, 20, 160]
    export_anndata(made.store, tmp_path / "x.h5ad", *KEY, rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations inside the package
        import anndata

        found = anndata.read_h5ad(tmp_path / "x.h5ad")
    np.testing.assert_array_equal(found.X, made.all_rows(KEY)[rows])
    assert found.obs_names.tolist() == ["0", "20", "160"]
    assert found.obs["trace"].tolist() == ["t0", "t1", "t7"]
    assert found.obs["of_prompt"].tolist() == [True, False, False]
    assert found.obs["position"].tolist() == [0, 3, 18]
    assert found.n_vars == made.store.d
    assert found.uns["multidir"]["site"] == "L3.resid_pre"
    covering = [s.label for s in made.sentences if s.trace_id == "t1" and s.token_start <= 3 < s.token_end]
    label = found.obs["label:grammar:1"].iloc[1]
    assert (None if pd.isna(label) else label) == covering[0]
