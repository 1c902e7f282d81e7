"""The merge guard's work on git repositories: what came, its test, and taking it back without losing a byte."""
