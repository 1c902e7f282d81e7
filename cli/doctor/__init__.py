"""What `quantum doctor` looks at: the machine, the workspace's files and keys, and what runs."""
