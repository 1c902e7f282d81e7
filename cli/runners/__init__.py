"""`quantum runner …`: one file per verb about runners on other hosts."""
