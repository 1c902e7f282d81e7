"""The workspace's authority, and the change of tokens and of the databases' key for new ones."""
