"""What stands behind `quantum stop`, `isolate` and `recover`."""
