"""One request and its answers (RFC 3261 17, RFC 6026): pure machines that say what to do and never do it."""
