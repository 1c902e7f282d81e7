"""The workspace as services of the operating system: units are written from templates, and their manager is asked."""
