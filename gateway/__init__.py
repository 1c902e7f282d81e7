"""The HTTP front: forwards each caller's own token to the services and has no power of its own."""
