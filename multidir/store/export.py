"""A store for other programs: safetensors, parquet tables, a stream for SAE trainers, AnnData.

Everything here is written piece by piece; only AnnData wants its rows in memory at once.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from multidir.errors import MissingExtra
from multidir.records.site import Site
from multidir.records.text import Sentence
from multidir.store.activations import ActivationStore
from multidir.store.atomic import atomic_path
from multidir.store.shuffle import Shuffle
from multidir.store.spec import dataset_name
from multidir.store.stream import RowStream
from multidir.types import Role

if TYPE_CHECKING:
    import torch

_CODES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}


def export_safetensors(store: ActivationStore, path: Path) -> None:
    """Write all activations and the token table as one safetensors file, bit for bit.

    Tensors: `acts/<role>/<site>` (n, d) in the stored number format; `tokens/id`, `tokens/position` and
    `tokens/trace` (n,) int32. Metadata: the traces as JSON, and the store's content hash.

    Raises:
        ConfigError: the disk is full or the folder cannot be written.
    """
    n, at = store.n_rows, 0
    header: dict[str, Any] = {"__metadata__": {"content_hash": store.content_hash, "traces": _trace_names(store)}}
    tokens = {"tokens/id": store.token_ids, "tokens/position": store.position, "tokens/trace": store.trace_index}
    width = store.d * (4 if store.spec.dtype == "float32" else 2)
    for key in store.spec.keys:
        entry = {"dtype": _CODES[store.spec.dtype], "shape": [n, store.d], "data_offsets": [at, at + n * width]}
        header[f"acts/{dataset_name(key)}"], at = entry, at + n * width
    for name in tokens:
        header[name], at = {"dtype": "I32", "shape": [n], "data_offsets": [at, at + 4 * n]}, at + 4 * n
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with atomic_path(path) as partial, partial.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for key in store.spec.keys:
            for raw in store.mapped(key):
                file.write(raw.reshape(-1).view(np.uint8).data)
        for values in tokens.values():
            file.write(np.ascontiguousarray(values, "<i4").tobytes())


def _trace_names(store: ActivationStore) -> str:
    return json.dumps([[info.id, info.row_start, info.row_end] for info in store.traces])


def export_tables(store: ActivationStore, folder: Path) -> list[Path]:
    """Write `traces.parquet`, `tokens.parquet` and, where there are labels, `sentences.parquet`.

    Returns:
        The files written.
    Raises:
        ConfigError: the disk is full or the folder cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    infos, sentences = store.traces, [s for name in store.annotators for s in store.labels(name)]
    columns: dict[str, dict[str, Any]] = {
        "traces": {
            name: [getattr(info, name) for info in infos]
            for name in ("id", "prompt_id", "category", "row_start", "row_end", "n_prompt")
        },
        "tokens": {
            "trace": pa.DictionaryArray.from_arrays(store.trace_index, [info.id for info in infos]),
            "position": store.position,
            "token_id": store.token_ids,
        },
    }
    if sentences:
        names = [item.name for item in fields(Sentence)]
        columns["sentences"] = {name: [getattr(sentence, name) for sentence in sentences] for name in names}
    paths = []
    for name, values in columns.items():
        path = Path(folder) / f"{name}.parquet"
        with atomic_path(path) as partial:
            pq.write_table(pa.table(values), partial, compression="zstd")
        paths.append(path)
    return paths


def activation_batches(
    store: ActivationStore, role: Role, site: Site, settings: Shuffle, device: torch.device | str = "cpu"
) -> Iterator[torch.Tensor]:
    """Endless float32 batches (batch_rows, d), as the data providers of SAE trainers such as SAELens give them.

    Every batch is full: rows left over at the end of a pass are dropped, so that step counts are exact.
    """
    import torch

    for batch in RowStream(store, role, site, settings, device, torch.float32).batches(epochs=None):
        if len(batch) == settings.batch_rows:
            yield batch


def export_anndata(store: ActivationStore, path: Path, role: Role, site: Site, index: Any = None) -> None:
    """Write rows as an AnnData file: `X` float32 activations, `obs` one line of facts per token.

    `obs` holds trace, prompt_id, category, position, token_id, whether the token is of the prompt, and per
    annotator `label:NAME:VERSION`, the label of the sentence that covers the token (missing outside them).

    Args:
        store: the store.
        path: a `.h5ad` file.
        role: `base` or `reasoning`.
        site: where in the model.
        index: rows to take, all when none; they are held in memory as float32.

    Raises:
        MissingExtra: anndata is not installed.
        ConfigError: the folder cannot be written.
    """
    try:
        import anndata
    except ImportError:
        raise MissingExtra("AnnData export needs anndata; install it with: pip install 'multidir[anndata]'") from None
    import pandas as pd

    rows = np.arange(store.n_rows)[slice(None) if index is None else index]
    facts = _token_facts(store)
    kept = {name: pd.Categorical(v, categories=_texts(v)) if v.dtype == object else v for name, v in facts.items()}
    chosen = pd.DataFrame(kept).iloc[rows]
    chosen.index = pd.Index([str(row) for row in rows], dtype=object)
    columns = pd.DataFrame(index=pd.Index([f"channel_{i}" for i in range(store.d)], dtype=object))
    made = anndata.AnnData(store.rows(role, site, rows), obs=chosen, var=columns)
    made.uns["multidir"] = {"role": role, "site": str(site), "content_hash": store.content_hash}
    with atomic_path(path) as partial:
        made.write_h5ad(partial)


def _texts(values: np.ndarray[Any, Any]) -> Any:
    """The texts of a column as Python objects: not every AnnData can write the string arrays of pandas 3."""
    import pandas as pd

    return pd.Index(sorted({value for value in values.tolist() if value is not None}), dtype=object)


def _token_facts(store: ActivationStore) -> dict[str, np.ndarray[Any, Any]]:
    """One array per fact, a row per token; labels are texts, None where there is none."""
    infos, trace = store.traces, store.trace_index
    n_prompt = np.array([info.n_prompt for info in infos])
    facts = {
        name: np.array([getattr(info, name) for info in infos], dtype=object)[trace]
        for name in ("id", "prompt_id", "category")
    }
    facts["trace"] = facts.pop("id")
    facts |= {"position": store.position, "token_id": store.token_ids, "of_prompt": store.position < n_prompt[trace]}
    for annotator in store.annotators:
        labels = np.full(store.n_rows, None, dtype=object)
        for sentence in store.labels(annotator):
            start = store.info(sentence.trace_id).row_start
            labels[start + sentence.token_start : start + sentence.token_end] = sentence.label
        facts[f"label:{annotator.replace('/', ':')}"] = labels  # HDF5 would take a slash for a folder
    return facts
