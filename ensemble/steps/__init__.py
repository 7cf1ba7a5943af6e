"""Array code that Triton runs: numpy, onnxruntime, the standard library and ``contracts``, nothing else."""
