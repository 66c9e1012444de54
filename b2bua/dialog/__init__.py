"""One side of a call: the leg that builds our requests and responses, in its own identity and nobody else's."""
