"""Decisions: pure functions over values. What may cross, which way a request goes, by which interface it leaves."""
