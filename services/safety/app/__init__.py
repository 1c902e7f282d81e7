"""The use cases of safety, one file per verb."""
