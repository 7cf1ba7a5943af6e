"""The local stack: its ports, its processes, Envoy in front of it, and the pipeline that fills it."""
