"""An attempt's credential is a private file of that attempt: in no argument list, no environment, no kept output."""

from __future__ import annotations

from foundation.ids import random_bytes
from foundation.tokens import mask, mint
from tests.runner.support import WardenUnderTest

LOOK = 'stat -c %a "$QUANTUM_CREDENTIAL"; cat "$QUANTUM_CREDENTIAL"; echo; env; tr "\\0" " " < /proc/$$/cmdline'


def test_the_credential_is_a_private_file_and_dies_with_the_attempt(warden: WardenUnderTest) -> None:
    secret = mint(random_bytes).text
    ended = warden.run(warden.shell(LOOK), credential=secret)
    mode, found, *rest = warden.output(ended.slot).decode().splitlines()
    assert (mode, found) == ("600", secret)
    assert secret not in "".join(rest)
    folder = warden.folder / "slots" / str(ended.slot)
    assert (folder.stat().st_mode & 0o777, (folder / "credential").exists()) == (0o700, False)
    assert mask(f"I am {secret}.") == "I am qtm_….", "what a script prints of it is masked as every token is"


def test_an_attempt_without_one_finds_nothing_of_the_one_before(warden: WardenUnderTest) -> None:
    first = warden.run(warden.shell("exit 0"), credential=mint(random_bytes).text)
    warden.release(first.slot)
    second = warden.run(warden.shell('echo "<$QUANTUM_CREDENTIAL>"; ls ..'), "b")
    assert second.slot == first.slot
    said = warden.output(second.slot).decode()
    assert "<>" in said and "credential" not in said
