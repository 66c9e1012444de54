"""Tells ``twistd`` that it can run the bridge: ``twistd -n b2bua etc/b2bua.toml``.

twistd imports every plugin for its ``--help``, so this file imports nothing of the bridge itself.
"""

from twisted.application.service import ServiceMaker

b2bua = ServiceMaker(
    "b2bua",
    "b2bua.service",
    "A SIP back-to-back user agent between networks.",
    "b2bua",
)
