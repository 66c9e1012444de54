"""What is on the wire: values with `parse` and `__str__`. No state, no clock, no Twisted."""
