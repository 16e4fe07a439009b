"""Array aliases and the dimension letters of the whole project.

Letters, used in every docstring: n rows, d width of the residual stream, k directions, f latents of a
dictionary, t tokens, l layers, c cells of a design, b rows of a batch.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.floating[Any]]
"""Any floating array; functions that need float64 convert and say so."""

IntArray = NDArray[np.integer[Any]]
BoolArray = NDArray[np.bool_]

Role = Literal["base", "reasoning"]
"""Which model of a pair. Store keys, direction names and report colours all use these two words."""

ROLES: tuple[Role, Role] = ("base", "reasoning")
