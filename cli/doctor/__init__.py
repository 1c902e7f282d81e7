"""What `quantum doctor` looks at: the installation, and whether each protection is on."""
