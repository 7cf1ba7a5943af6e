"""Users alike: of equally similar ones the first count, so that every implementation finds the same."""

from __future__ import annotations

import numpy as np

from contracts.user_user import Alike, Histories


def test_of_equally_similar_users_the_first_count() -> None:
    """Users 0 to 5 share one item of two each with who asks, user 6 shares both: he is nearest, then the first two."""
    taken = [[0, 2], [1, 3], [0, 4], [1, 5], [0, 6], [1, 7], [0, 1]]
    starts = np.r_[0, np.cumsum([len(items) for items in taken])].astype(np.int64)
    alike = Alike(Histories(np.arange(7), starts, np.concatenate(taken).astype(np.int32)), 8)
    scores = alike.scores(np.array([0, 1]), own=-1, number=3)
    assert np.flatnonzero(scores).tolist() == [0, 1, 2, 3]
    assert np.allclose(scores[:4], [1.5, 1.5, 0.5, 0.5])
