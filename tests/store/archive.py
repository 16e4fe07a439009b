"""Makes the archive of a format version, once, before that version is released; archives are never made again.

python -m tests.store.archive tests/store/archives/v2
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from multidir.store.activations import ActivationStore
from multidir.store.atomic import write_json_atomic
from multidir.store.store_manifest import VERSION
from tests.store.stores import ANNOTATOR, make_sentences, make_traces, spec, write


def expected(store: ActivationStore) -> dict[str, object]:
    """What every later version must read from the archive."""
    return {
        "rows": {f"{role}/{site}": store.rows(role, site, slice(None)).tolist() for role, site in store.spec.keys},
        "token_ids": store.token_ids.tolist(),
        "position": store.position.tolist(),
        "traces": list(store.iterate_traces()),
        "sentences": store.labels(ANNOTATOR),
        "label_sums": store.label_sums(*store.spec.keys[0], ANNOTATOR).sums.tolist(),
        "content_hash": store.content_hash,
    }


def main(folder: Path) -> None:
    traces = make_traces([5, 9, 4])
    store = write(folder / "store", traces, spec(shard_rows=14))
    store.put_labels(ANNOTATOR, make_sentences(traces, np.random.default_rng(VERSION)), window=(-1, 0))
    write_json_atomic(folder / "expected.json", expected(store))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
