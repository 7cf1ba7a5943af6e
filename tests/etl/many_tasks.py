"""``python tests/etl/many_tasks.py CONFIG ROOT``: the stage on worker processes, cut into many small tasks."""

import etl.lean  # noqa: F401  # isort: skip

import json
import sys

from contracts import config as settings
from contracts.stack import stack_settings
from etl import cluster, grouping, ingest, stage

if __name__ == "__main__":  # the workers import this file too
    ingest.PIECE_ROWS, grouping.ROWS_A_SPLIT, grouping.ROWS_A_GROUP = 5_000, 8_000, 8_000
    cluster.ROWS_FOR_PROCESSES = 0
    stack = stack_settings({"TRIREME_ROOT": sys.argv[2]})
    sys.stdout.write(json.dumps(stage.run(settings.load(sys.argv[1]), stack, False, lambda line: None)) + "\n")
