"""Safety: decides what may start, and who may call."""
