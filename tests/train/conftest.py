import os
import sys
import warnings
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parent))

# Merlin, TensorFlow and tf2onnx warn while they are imported (no torch, no Triton client, moved modules). Imported here
# once, so that a warning of our own modules still fails the run.
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import merlin.models.tf  # noqa: F401
    import tf2onnx  # noqa: F401

#: Warnings that the pinned libraries raise while they work.
_OF_LIBRARIES = (
    "ignore::DeprecationWarning:(tensorflow|keras|merlin|tf2onnx|flatbuffers|google)",
    "ignore::UserWarning:(merlin|keras|tensorflow)",
    # Keras asks the standard library for random.randint(1, 1e9), which warns in its own name.
    "ignore:non-integer arguments to randrange:DeprecationWarning",
)


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            for line in _OF_LIBRARIES:
                item.add_marker(pytest.mark.filterwarnings(line))


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A small shop on disk, as etl would leave it: 160 users of 4 taste groups, 60 items."""
    from made_shop import make

    return make(tmp_path_factory.mktemp("shop"))
