"""One formula for numpy and torch: find the array library of an argument and widen to float64."""

from __future__ import annotations

from typing import Any

import numpy as np
from array_api_compat import array_namespace, is_array_api_obj

Array = Any
"""A numpy array or a torch tensor; what comes back is of the same library, on the same device, in float64."""


def namespace(*arrays: Array) -> Any:
    """Array-API namespace of the arguments; plain lists and numbers count as numpy."""
    known = [a for a in arrays if is_array_api_obj(a)]
    return array_namespace(*known) if known else array_namespace(np.empty(0))


def as_float64(x: Array) -> Array:
    """The same array, in the same library and on the same device, as float64 (no copy when it already is)."""
    xp = namespace(x)
    return xp.astype(x if is_array_api_obj(x) else xp.asarray(x), xp.float64, copy=False)
