"""The transports, one module each: UDP, TCP, TLS."""
