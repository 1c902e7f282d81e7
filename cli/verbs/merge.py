"""`quantum merge`: the safe way in for a branch; what was checked, and how to undo, mend and approve."""

from __future__ import annotations

import click

from cli.merging import approve, doctor, request, showing, undo
from cli.merging.place import find_workspace_by
from cli.merging.words import BranchOrWord
from cli.session import Session


@click.group(cls=BranchOrWord, subcommand_metavar="BRANCH | COMMAND [ARGS]...")
@click.pass_obj
def command(session: Session) -> None:
    """Merge BRANCH once it has passed the smoke test, apart from your work tree; or look at merges that were checked.

    A first word that is none of these commands is a branch or a commit. A branch that is called like one of them:
    `quantum merge -- list`, or `quantum merge --branch list`.
    """
    find_workspace_by(session, session.cwd)


command.add_command(request.command)
command.add_command(showing.list_checks)
command.add_command(showing.show)
command.add_command(undo.undo)
command.add_command(approve.approve)
command.add_command(doctor.doctor)
