"""The group behind `quantum merge`, whose first word is one of its own or else a branch."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from cli.groups import Group
from foundation.errors import QuantumError

MERGE = "BRANCH"
"""The name of the command for a branch; it is said in no command line, so that every branch can be named."""


class BranchOrWord(Group):
    """Takes the first word for a subcommand if there is one of that name, for a branch in every other case.

    `quantum merge -- list` and `quantum merge --branch list` mean the branch `list`.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the name of the branch's command before what is no subcommand and asks for no help."""
        first = args[0] if args else ""
        if first and first not in ctx.help_option_names and not self._is_word(first):
            args = [MERGE, *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Both the subcommands and the branches of the repository we are in."""
        words = [item for item in super().shell_complete(ctx, incomplete) if item.value != MERGE]
        return [*words, *(CompletionItem(name) for name in branches(incomplete))]

    def _is_word(self, word: str) -> bool:
        return word in self.commands and word != MERGE


def branch_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Completes a branch of `--repo`, or of the repository we are in."""
    return branches(incomplete, ctx.params.get("repo"))


def branches(incomplete: str, folder: Path | None = None) -> list[str]:
    """Local branches that begin so; none where there is no repository."""
    from merge_guard.git import Git

    try:
        listed = Git(folder or Path.cwd()).text("for-each-ref", "--format=%(refname:short)", "refs/heads")
    except (QuantumError, OSError):
        return []  # a completion that cannot help stays silent
    return [name for name in listed.splitlines() if name.startswith(incomplete)]


repo_option = click.option(
    "--repo",
    type=click.Path(path_type=Path),
    help="A folder of the repository; else the one we are in.",
)
