"""The hall: calls, the two legs of each, and what passes between them."""
