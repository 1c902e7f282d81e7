"""Reading a folder of scripts that nobody declared, and making agents of them: what stands behind `quantum adopt`."""
