"""The command line: `quantum <verb>`, one verb a file in `verbs/`."""
