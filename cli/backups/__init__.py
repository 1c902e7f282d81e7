"""Backups of a workspace: made, checked by being restored, kept, and put back."""
