"""The workspace's own files: configuration and projects edited in place, a restore brought to its end."""
