"""A fixed Hypothesis profile: the same examples at every run, and no clock in the verdict."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "contracts", deadline=None, derandomize=True, max_examples=150, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("contracts")
