"""What the offline evaluation asks: requests made by ``etl``, answered by ``ensemble``, judged by ``train``.

A request stands for one list that a user would have got at an instant. Its id joins ``requests.parquet``,
``truth.parquet`` and ``answers.parquet``; a user may have several.
"""

from __future__ import annotations


class Kind:
    """Why a request is asked."""

    #: What the platform is judged by: a user as he was at an instant of the test window.
    TEST = "test"
    #: The same user with his ``known_events`` newest interactions only, under an id that nobody knows.
    COLD = "cold"


#: ``known_events`` of a request that knows the user's whole history.
WHOLE_HISTORY = -1

#: Interactions known of the user in the requests of kind ``COLD``.
COLD_STEPS = (0, 1, 3, 5, 10)
