"""Importing this hides TensorFlow from the process: etl needs none of it, and Merlin would spend 10 s importing it.

For the command line and Dask workers only, never for a process that also trains.
"""

import sys
import warnings

sys.modules.setdefault("tensorflow", None)  # pyright: ignore[reportArgumentType]
# What follows from that, and what Merlin says of every CPU and of every fit in threads: nothing a user could act on.
for message in (
    ".*dtype mappings did not load.*",
    "Initializing an NVTabular Dataset in CPU mode.*",
    "Running on a single-machine scheduler.*",
):
    warnings.filterwarnings("ignore", message=message, category=UserWarning)
