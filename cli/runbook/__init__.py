"""The command names of the operations runbook: what they stand for, and their links in a workspace."""
