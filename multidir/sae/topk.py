"""TopK: the k largest pre-activations of each token, with a ReLU.

Source: Gao et al., Scaling and evaluating sparse autoencoders (arXiv 2406.04093).
"""

from __future__ import annotations

from multidir.sae.active import Active
from multidir.sae.select import top_of_rows
from multidir.sae.step import Work, by_selection, rectified


def select(work: Work) -> Active:
    """The k largest of each row."""
    return rectified(work, top_of_rows(work.pre, work.k))


step = by_selection(select)
