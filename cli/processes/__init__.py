"""The processes of a workspace: told apart by identity, started, supervised, kept up, and ended."""
