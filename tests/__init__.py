"""The tests of b2bua: ``make test``, or ``python -m twisted.trial -j2 tests`` from the root of the checkout."""
