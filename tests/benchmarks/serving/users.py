"""Who asks: real users' rows in the online store, and requests drawn by how often each user comes."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import redis

from contracts.artifacts import Zones
from contracts.config import Config
from contracts.evaluation import Kind
from contracts.features import feature_views
from contracts.online_layout import PROJECT, encode, row_key
from ensemble import assemble, raw_rows
from loadtest import perf

K = 20
#: Stages that would start later are skipped, which would flatter a server under load; no request waits for so long.
DEADLINE_MS = 10_000


def fill_store(port: int, config: Config, zones: Zones) -> list[str]:
    """Write the rows of the evaluation's users as Feast and the processor lay them out; the users, each once.

    A row is what was known of a user at the cut: ``features/requests.parquet``, of which the golden requests are made.
    """
    table = assemble.read_table(f"{zones.features}/requests.parquet")
    table = table.filter(pa.array([kind == Kind.TEST for kind in table["kind"].to_pylist()]))
    users: dict[str, None] = {}
    with redis.Redis("127.0.0.1", port) as client, client.pipeline(transaction=False) as pipe:
        for part, rows in raw_rows.batches(table, config.features, 500):
            for user, as_of, row in zip(part["user_id"].to_pylist(), part["as_of"].to_pylist(), rows):
                users[user] = None
                key = row_key(PROJECT, "user_id", user)
                for view in feature_views(config.features):
                    held = encode(view, {feature.name: row[feature.name] for feature in view.features}, as_of)
                    pipe.hset(key, mapping=held)  # pyright: ignore[reportArgumentType]
            pipe.execute()
    return list(users)


def drawn(zones: Zones, known: Sequence[str], number: int, seed: int) -> list[str]:
    """``number`` of the known users, as often as each comes in the log."""
    counts = pq.read_table(f"{zones.processed}/events", columns=["user_id"])["user_id"].value_counts()
    often = dict(zip(counts.field("values").to_pylist(), counts.field("counts").to_pylist()))
    return random.Random(seed).choices(known, [often.get(user, 0) for user in known], k=number)


def body(user: str) -> dict[str, object]:
    """A request's JSON document."""
    return {"user_id": user, "k": K, "deadline_ms": DEADLINE_MS}


def write_requests(folder: Path, users: Sequence[str], batch: int) -> None:
    """``single.jsonl`` and ``batch.jsonl``, a body a line, for REST; ``grpc.json`` for perf_analyzer."""
    (folder / "single.jsonl").write_text("".join(json.dumps(body(user)) + "\n" for user in users))
    parts = np.array_split(np.array(users, object), max(1, len(users) // batch))
    lines = [json.dumps({"requests": [body(user) for user in (*part, *users)[:batch]]}) for part in parts]
    (folder / "batch.jsonl").write_text("".join(line + "\n" for line in lines))
    (folder / "grpc.json").write_text(json.dumps(perf.request_data(users, deadline_ms=DEADLINE_MS)))
