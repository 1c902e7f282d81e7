"""The text of the profile for sandbox-exec; nothing runs it here."""

from __future__ import annotations

from services.agent_runner.warden.protected import Guard, Kind, Protection
from services.agent_runner.warden.sandbox import Asked, Places, Scope
from services.agent_runner.warden.sandbox_darwin import argv, profile

_PLACES = Places("/ws", "/ws/.quantum", ("/sockets",))
_KEEP = Protection((Guard("/p/.git/hooks", Kind.PRESENT),), ("/p/.git",))


def _asked(*, network: bool = False) -> Asked:
    return Asked("/p", ("/p",), (), (), network, None, True, 0)


def test_later_rules_take_back_what_earlier_ones_gave() -> None:
    lines = profile(_asked(), Scope("/p", ("/p",), ()), _KEEP, _PLACES, "/ws/.quantum/r/slots/0").splitlines()
    order = [next(number for number, line in enumerate(lines) if words in line) for words in (
        "(deny file-write*)",
        '(allow file-write* (subpath "/p")',
        '(deny file-write* (subpath "/p/.git/hooks"))',
        '(deny file-write-unlink (literal "/p/.git"))',
        '(deny file-read* file-write* (subpath "/ws/.quantum") (subpath "/sockets")',
        '(allow file-read* file-write* (subpath "/ws/.quantum/r/slots/0"))',
        "(deny network*)",
    )]  # fmt: skip
    assert order == sorted(order)


def test_an_open_network_stays_open_and_read_narrows() -> None:
    text = profile(_asked(network=True), Scope("/p", (), ("/data",)), Protection((), ()), _PLACES, "/slot")
    assert "network" not in text
    assert "(deny file-read*)\n" in text and '(subpath "/data")' in text


def test_a_path_cannot_end_its_own_quotes() -> None:
    text = profile(_asked(), Scope("/p", ('/a") (allow default) ("',), ()), Protection((), ()), _PLACES, "/slot")
    assert '(subpath "/a\\") (allow default) (\\"")' in text


def test_the_command() -> None:
    command = argv(_asked(), Scope("/p", (), ()), Protection((), ()), _PLACES, "/slot", ["/s.sh", "--a"])
    assert command[:2] == ["/usr/bin/sandbox-exec", "-p"] and command[3:] == ["/s.sh", "--a"]
