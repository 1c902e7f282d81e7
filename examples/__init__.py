"""Programs that stand outside Quantum and use it as anybody could."""
