"""Verbs that have verbs of their own."""

from __future__ import annotations

import sys

import click


class Group(click.Group):
    """Its help says the first sentence of each verb, whole, on as many lines as that takes; click would cut it."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs."""
        named = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, found.get_short_help_str(sys.maxsize)) for name, found in named if found and not found.hidden]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)
