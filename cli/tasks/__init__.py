"""Tasks on the command line: what is to be run, which ones are meant, and how one is followed to its end."""
