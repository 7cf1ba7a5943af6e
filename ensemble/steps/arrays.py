"""What passes between steps, as arrays; fields are named like the tensors of ``contracts/tensors.py``.

``b`` is the number of requests. Widths are fixed by the release, so that requests of one release batch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Query(NamedTuple):
    """What is known of the users.

    Attributes:
        user_codes: int64 ``[b, query columns]``.
        recent_items: int64 ``[b, recent]``, newest first, 0 pads.
        recent_weights: float32 ``[b, recent]``, 0 where padded.
        seen_items: int32 ``[b, seen]``, distinct catalogue items, those taken last first, 0 pads.
        category_shares: float32 ``[b, half-lives * categories]``, decayed counts by category code.
    """

    user_codes: np.ndarray
    recent_items: np.ndarray
    recent_weights: np.ndarray
    seen_items: np.ndarray
    category_shares: np.ndarray


class Candidates(NamedTuple):
    """What retrieval found, best first.

    Attributes:
        candidate_ids: int32 ``[b, m]``, 0 pads.
        candidate_scores: float32 ``[b, m, contracts.features.SOURCES]``; -inf where padded or where a source has none.
    """

    candidate_ids: np.ndarray
    candidate_scores: np.ndarray
