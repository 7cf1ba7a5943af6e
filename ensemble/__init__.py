"""The four models that answer a request: their array code (``steps``), their releases, and their Triton shells."""
