"""The verbs of the command line; each module's `command` is what `quantum <module>` runs."""
