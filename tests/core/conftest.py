"""Hypothesis on a machine that others use too: no test fails for being slow."""

from hypothesis import HealthCheck, settings

settings.register_profile("proxy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("proxy")
