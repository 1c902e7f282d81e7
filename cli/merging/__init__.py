"""What `quantum merge` does: merges a branch safely, shows checks and their evidence, undoes, mends, approves."""
