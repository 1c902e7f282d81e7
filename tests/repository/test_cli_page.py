"""docs/cli.md and README name the verbs and exit codes that the command line has."""

from __future__ import annotations

import re

from cli.__main__ import EXIT_CODES, VERBS
from cli.adopting.defects import CODES
from tests.repository.tracked import ROOT

PAGE = (ROOT / "docs" / "cli.md").read_text()


def test_every_verb_is_on_the_page() -> None:
    section = PAGE.partition("## Verbs")[2].partition("## Exit codes")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    assert {verb for row in rows for verb in re.findall(r"`([a-z]+)`", row)} == set(VERBS)


def test_every_exit_code_is_on_the_page() -> None:
    rows = re.findall(r"^\| (\d+) \| ([A-Z_, ]+) \|", PAGE, flags=re.MULTILINE)
    listed = {kind.strip(): int(code) for code, kinds in rows for kind in kinds.split(",") if kind.strip()}
    assert listed == {kind.name: code for kind, code in EXIT_CODES.items()}


def test_verbs_in_the_readme_exist() -> None:
    shell = "\n".join(re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL))
    typed = set(re.findall(r"(?:^|\$\()quantum ([a-z]+)", shell, flags=re.MULTILINE))
    assert typed <= set(VERBS)
    assert typed, "the tour of the README shows no command"


def test_every_code_of_adopt_is_on_its_page() -> None:
    table = (ROOT / "docs" / "adopting.md").read_text().partition("| code |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {code for row in rows for code in re.findall(r"`([a-z0-9-]+)`", row)} == set(CODES)
