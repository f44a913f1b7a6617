"""What every test needs: to be where SIGINT arrives, and a machine that others use too."""

import gc
import signal

from hypothesis import HealthCheck, settings

# What a shell starts in the background is deaf to SIGINT, and so is whatever that starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# No test fails for being slow.
settings.register_profile("proxy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("proxy")


def pytest_collection_finish() -> None:
    """Let no collection of garbage look at the thousands of tests again and again."""
    gc.collect()
    gc.freeze()
