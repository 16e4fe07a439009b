"""A second store over the files of another one: what is there is taken over without being copied or changed."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

from multidir.store.activations import ActivationStore
from multidir.store.atomic import atomic_path, explain, make_folder
from multidir.store.manifest_file import MANIFEST

_UNLINKABLE = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES)


def continue_store(source: Path, target: Path) -> None:
    """Begin a store with everything that another one holds; a store that is begun already is left as it is.

    Files of a store never change once they have their names, so both may share them: hard links where the
    disk can do that, copies otherwise. The source is not touched, whatever is done with the target.

    Args:
        source: a store, or a run folder that holds one.
        target: the folder of the new store.

    Raises:
        FormatError: the source is no store, or was changed.
        ConfigError: the disk is full or the folder cannot be written.
    """
    target = Path(target)
    if (target / MANIFEST).exists():
        return
    store = ActivationStore.open(source, verify=True)
    make_folder(target)
    for name in store.manifest.files():
        _take(store.path / name, target / name)
    store.manifest.save(target)


def _take(source: Path, target: Path) -> None:
    if target.exists():  # of an attempt that was interrupted before the manifest
        return
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _UNLINKABLE:
            raise explain(error, target) from error
        with atomic_path(target) as partial:
            shutil.copyfile(source, partial)
