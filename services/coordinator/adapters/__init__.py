"""The coordinator's stores and its line to safety."""
