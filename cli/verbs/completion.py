"""`quantum completion`: the lines that teach a shell to complete our verbs and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from cli.options import json_option
from cli.output.printing import emit
from foundation.errors import Internal

_HOW = {
    "bash": 'eval "$(quantum completion bash)"   # in ~/.bashrc',
    "zsh": 'eval "$(quantum completion zsh)"   # in ~/.zshrc, after compinit',
    "fish": "quantum completion fish | source   # in ~/.config/fish/config.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(list(_HOW)))
@json_option
@click.pass_context
def command(ctx: click.Context, shell: str, as_json: bool) -> None:
    """Print the completion for SHELL, to be read by it at its start."""
    made = get_completion_class(shell)
    if made is None:
        raise Internal("no_completion", f"There is no completion for {shell}.")
    script = made(ctx.find_root().command, {}, "quantum", "_QUANTUM_COMPLETE").source()
    if as_json:
        emit({"shell": shell, "script": script, "how": _HOW[shell]})
    else:
        click.echo(script)
