"""Trireme's own side: a configuration over the generated log, and the real ``python -m etl run`` as a child.

It does more than the peers: windows B and C, requests, truth, profiles, quarantine and the NVTabular workflow.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.benchmarks.etl import case, measure

REPOSITORY = Path(__file__).resolve().parents[3]
PYTHON = REPOSITORY / ".venv-train/bin/python"
NAME = "bench"


def configuration(source: Path) -> str:
    """The TOML of the generated data below ``source``."""
    events = "\n".join(f'{name} = "{name}"' for name in case.EVENT_COLUMNS)
    return f"""name = "{NAME}"

[source.events]
url = "{source}/events/*.parquet"
[source.events.columns]
{events}

[source.items]
url = "{source}/items.parquet"
columns = {{ item_id = "item_id", category = "category", brand = "brand", price = "price" }}

[source.users]
url = "{source}/users.parquet"
columns = {{ user_id = "user_id", segment = "segment" }}

[features]
user_categorical = ["segment"]
item_categorical = ["category", "brand"]
item_numeric = ["price"]
category = "category"
recent_items = {case.RECENT_ITEMS}
count_half_lives_hours = {list(case.HALF_LIVES_HOURS)}
session_gap_minutes = {case.SESSION_GAP_MS // 60_000}
min_item_count = {case.MIN_ITEM_COUNT}

[windows]
retrieval_end = "{case.date_of(case.RETRIEVAL_END_DAY)}"
ranker_end = "{case.date_of(case.RANKER_END_DAY)}"
cut = "{case.date_of(case.CUT_DAY)}"

[train]

[serve]
"""


def run(source: Path, out: Path, log: Path) -> measure.Measured:
    """Bring the zones below ``out`` into being.

    Args:
        source: the generated data.
        out: a folder that is not there yet; the zones lie at ``zones(out)``.
        log: where its progress goes.
    """
    out.mkdir(parents=True)
    config = out / f"{NAME}.toml"
    config.write_text(configuration(source))
    argv = [str(PYTHON), "-m", "etl", "run", str(config)]
    return measure.run(argv, REPOSITORY, {**os.environ, "TRIREME_ROOT": str(out)}, log)


def zones(out: Path) -> Path:
    """The folder that holds raw, processed, quarantine and features."""
    return out / NAME
