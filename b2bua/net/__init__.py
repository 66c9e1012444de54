"""The only sockets and the only clock: transports, connections, resolver, kernel routes, and the switchboard."""
