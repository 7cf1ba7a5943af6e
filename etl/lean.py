"""Importing this hides TensorFlow from the process: etl needs none of it, and Merlin would spend 10 s importing it.

For the command line and Dask workers only, never for a process that also trains.
"""

import sys

sys.modules.setdefault("tensorflow", None)  # pyright: ignore[reportArgumentType]
