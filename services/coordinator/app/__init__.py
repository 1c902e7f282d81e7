"""Use cases of the coordinator, one verb a file."""
