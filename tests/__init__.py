"""The tests of b2bua: ``make test``, or ``python -m twisted.trial -j2 tests`` from the root of the checkout."""

from hypothesis import HealthCheck, settings

# A busy machine is no fault: how long a test takes is never part of what it proves.
settings.register_profile("b2bua", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("b2bua")
