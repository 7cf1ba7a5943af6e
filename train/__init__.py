"""Rows to models: two-tower, item-item and ranker as ONNX and arrays, and the evaluation of what was answered."""

import os

# Must stand before TensorFlow is imported anywhere in the stage: its C++ half logs a page of CPU advice otherwise.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
