"""The warden as a process, slot files, kept output and agents' logs."""
