"""What is computed: the log's time axis, the settings that all four tools share, and the names of their files.

Standard library only: every tool's environment reads this module, and nothing else ties the peers to Trireme.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

MS_PER_HOUR = 3_600_000
MS_PER_DAY = 24 * MS_PER_HOUR

#: The log's days; windows end at the midnight before a day of this number.
FIRST_DAY = datetime(2024, 1, 1, tzinfo=timezone.utc)
DAYS, RETRIEVAL_END_DAY, RANKER_END_DAY, CUT_DAY = 90, 80, 84, 87
FIRST_MS = int(FIRST_DAY.timestamp() * 1000)
RETRIEVAL_END_MS = FIRST_MS + RETRIEVAL_END_DAY * MS_PER_DAY
CUT_MS = FIRST_MS + CUT_DAY * MS_PER_DAY

RECENT_ITEMS = 10
HALF_LIVES_HOURS = (24, 720)
SESSION_GAP_MS = 30 * 60_000
MIN_ITEM_COUNT = 20
#: Codes of items: the catalogue's begin at the second; what is outside it has the first.
OUT_OF_VOCABULARY, FIRST_CODE = 2, 3

#: Event types that the contract knows; the log holds the three of INTERACTION_TYPES, which are all interactions.
EVENT_TYPES = (
    "impression",
    "click",
    "view",
    "add_to_cart",
    "purchase",
    "rating",
    "dwell",
    "item_update",
    "user_update",
)
INTERACTION_TYPES = ("click", "view", "add_to_cart", "purchase", "rating")
#: The contract's bounds: ids in characters, times in ms, and how far ahead of now a time may lie.
MAX_ID_CHARS = 128
MIN_QUANTITY, MAX_QUANTITY = 0, 100
MIN_EVENT_TIME = 788_918_400_000
MAX_AHEAD_MS = 300_000

EVENT_COLUMNS = (
    "event_id",
    "event_type",
    "event_time",
    "user_id",
    "item_id",
    "session_id",
    "region",
    "value",
    "quantity",
)
#: Columns of a training row that are compared. A new raw column of etl is a name here and a line in each peer.
ROW_COLUMNS = (
    "user_id",
    "as_of",
    "region",
    "home_region",
    "recent_item_ids",
    "recent_event_times",
    "recent_item_codes",
    "interaction_count",
    "last_event_time",
    "session_start_time",
    "session_interactions",
    "count_categories",
    *(f"category_counts_{hours}h" for hours in HALF_LIVES_HOURS),
    "target_item_codes",
)


def date_of(day: int) -> str:
    """The date of a day of the log, ``YYYY-MM-DD``."""
    return (FIRST_DAY + timedelta(days=day)).date().isoformat()
