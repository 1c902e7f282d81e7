"""Encrypted SQLite with one writer, group commit and numbered migrations."""
