"""Log files: their end as it grows, one task's lines, what the access log adds up to, and how all begin anew."""
