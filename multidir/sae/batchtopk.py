"""BatchTopK: the k b largest positive pre-activations of a batch of b tokens; at inference one global threshold.

A crosscoder is trained by the same step, on the two models' activations side by side.

Source: Bussmann et al., BatchTopK sparse autoencoders (arXiv 2412.06410).
"""

from __future__ import annotations

from multidir.sae.active import Active
from multidir.sae.select import top_of_batch
from multidir.sae.step import Work, by_selection, rectified


def select(work: Work) -> Active:
    """The k b largest of the batch."""
    return rectified(work, top_of_batch(work.pre, work.k * len(work.pre)))


step = by_selection(select)
