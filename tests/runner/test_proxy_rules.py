"""Whom a sandbox's list of hosts lets a script speak to."""

from __future__ import annotations

import pytest

from services.agent_runner.warden.proxy_rules import Target, asked_for, listed, reachable, target


@pytest.mark.parametrize(
    ("head", "wanted"),
    [
        (b"CONNECT example.org:443 HTTP/1.1\r\nHost: x\r\n\r\n", Target("example.org", 443)),
        (b"CONNECT EXAMPLE.org.:443 HTTP/1.1\r\n\r\n", Target("example.org", 443)),
        (b"CONNECT [::1]:80 HTTP/1.0\r\n\r\n", Target("::1", 80)),
        (b"GET http://example.org/ HTTP/1.1\r\n\r\n", None),
        (b"CONNECT example.org HTTP/1.1\r\n\r\n", None),
        (b"CONNECT example.org:0 HTTP/1.1\r\n\r\n", None),
        (b"CONNECT example.org:70000 HTTP/1.1\r\n\r\n", None),
        (b"CONNECT :443 HTTP/1.1\r\n\r\n", None),
        (b"CONNECT \0.example.org:443 HTTP/1.1\r\n\r\n", None),
        (b"CONNECT \x1b[2J\nrunner: all is well.example.org:443 HTTP/1.1\r\n\r\n", None),
        (b"CONNECT \x1b[2J.example.org:443 HTTP/1.1\r\n\r\n", None),
        (b"\r\n\r\n", None),
    ],
)
def test_what_is_asked_for(head: bytes, wanted: Target | None) -> None:
    assert asked_for(head) == wanted


@pytest.mark.parametrize(
    ("host", "good"),
    [
        ("api.example.org:443", True),
        ("api.example.org:80", False),
        ("example.org:443", False),
        ("a.wild.org:443", True),
        ("a.b.wild.org:443", True),
        ("wild.org:443", False),
        ("evilwild.org:443", False),
        ("api.example.org.evil.org:443", False),
    ],
)
def test_a_list_names_hosts_with_ports(host: str, good: bool) -> None:
    wanted = target(host)
    assert wanted is not None
    assert listed(wanted, ["API.example.org:443", "*.wild.org:443"]) is good


@pytest.mark.parametrize(
    ("address", "rules", "good"),
    [
        ("93.184.216.34", ["name.org:80"], True),
        ("127.0.0.1", ["name.org:80"], False),
        ("10.0.0.5", ["name.org:80"], False),
        ("169.254.169.254", ["name.org:80"], False),
        ("::1", ["name.org:80"], False),
        ("::ffff:127.0.0.1", ["name.org:80"], False),
        ("fd00::1", ["name.org:80"], False),
        ("fec0::1", ["name.org:80"], False),
        ("64:ff9b::169.254.169.254", ["name.org:80"], False),
        ("64:ff9b::93.184.216.34", ["name.org:80"], True),
        ("64:ff9b:1::10.0.0.5", ["name.org:80"], False),
        ("2002:7f00:1::", ["name.org:80"], False),
        ("::127.0.0.1", ["name.org:80"], False),
        ("2606:2800:220:1::1", ["name.org:80"], True),
        ("224.0.0.1", ["name.org:80"], False),
        ("10.0.0.5", ["name.org:80", "10.0.0.5:80"], True),
        ("10.0.0.5", ["name.org:80", "10.0.0.5:81"], False),
        ("::1", ["name.org:80", "[::1]:80"], True),
        ("nonsense", ["name.org:80"], False),
    ],
)
def test_a_name_that_leads_to_a_private_address_is_not_followed(address: str, rules: list[str], good: bool) -> None:
    assert reachable(address, Target("name.org", 80), rules) is good


def test_localhost_is_loopback_where_it_is_listed() -> None:
    assert reachable("127.0.0.1", Target("localhost", 80), ["localhost:80"])
    assert not reachable("127.0.0.1", Target("name.org", 80), ["localhost:80", "name.org:80"])
