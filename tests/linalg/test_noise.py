"""Noise from keys: is it Gaussian, is it independent, is it a function of its key alone?"""

from __future__ import annotations

import numpy as np
import torch
from scipy import stats

from multidir.linalg.noise import combined, gaussian, mixed


def keys(count: int, part: int = 0) -> np.ndarray:
    return combined(np.full(1, part, np.int64), np.arange(count))


def test_splitmix_reproduces_the_published_sequence() -> None:
    """The first outputs of SplitMix64 with seed 0: state 0x9E37... times 1, 2, 3."""
    published = np.array([0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F], np.uint64)
    step = np.arange(1, 4).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    assert np.array_equal(mixed(step.view(np.int64)).view(np.uint64), published)


def test_numbers_are_standard_normal() -> None:
    drawn = gaussian(keys(2000), 257)
    assert drawn.shape == (2000, 257)
    assert stats.kstest(drawn.ravel(), "norm").pvalue > 0.001
    assert abs(stats.kurtosis(drawn.ravel())) < 0.03
    assert np.isfinite(drawn).all()


def test_neighbouring_keys_channels_and_seeds_are_independent() -> None:
    a, b = gaussian(keys(3000, 1), 64), gaussian(keys(3000, 2), 64)
    for left, right in ((a, b), (a[1:], a[:-1]), (a[:, 1:], a[:, :-1]), (a[:, 32:], a[:, :32])):
        count = left.size
        for power in (1, 2):
            r = np.corrcoef(left.ravel() ** power, right.ravel() ** power)[0, 1]
            assert abs(r) < 5 / np.sqrt(count)


def test_numbers_depend_on_the_key_alone() -> None:
    whole = gaussian(keys(50), 9)
    np.testing.assert_array_equal(gaussian(keys(50)[20:23], 9), whole[20:23])
    np.testing.assert_array_equal(gaussian(keys(50)[::-1].reshape(2, 25), 9).reshape(50, 9), whole[::-1])


def test_torch_and_numpy_draw_the_same() -> None:
    theirs = gaussian(combined(torch.tensor([0]), torch.arange(50)), 9)
    np.testing.assert_allclose(theirs.numpy(), gaussian(keys(50), 9), atol=1e-14)
