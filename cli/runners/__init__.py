"""Runners on the command line: how they are shown, and one file per verb about those on other hosts."""
