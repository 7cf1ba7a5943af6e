"""Load on the public port: what clients feel."""
