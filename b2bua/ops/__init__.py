"""For operators: the manhole, the log, the command line, and the explanations in all of them."""
