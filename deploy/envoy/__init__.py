"""Envoy, the only door: one public port for REST and gRPC, generated from Python and checked by Envoy itself."""
