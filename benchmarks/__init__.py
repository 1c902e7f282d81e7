"""Measures Quantum beside its peers in one interleaved run; ratios count, absolute figures move with the machine."""
