"""Media that passes through us: the built-in relay, and engines beside us."""
