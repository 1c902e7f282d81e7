"""What text gives away in any language: home folders, secrets, ports, paid services, Quantum's own files."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator

_HOME = re.compile(r"(?<![\w$}.])/(?:Users|home)/(?!Shared\b|linuxbrew\b)[A-Za-z][\w.-]*(?=/|[\"'\s:;)]|$)")
_KNOWN_SECRETS = (
    re.compile(r"\bsk-(?:proj-|ant-[\w]*-?)?[A-Za-z0-9_-]{20,}"),
    re.compile(r"\bgh[pousr]_[A-Za-z0-9]{30,}"),
    re.compile(r"\bgithub_pat_[A-Za-z0-9_]{40,}"),
    re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    re.compile(r"\bxox[abprs]-[A-Za-z0-9-]{20,}"),
    re.compile(r"https://hooks\.slack\.com/services/T[\w]+/B[\w]+/[A-Za-z0-9]{16,}"),
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
)
_NAMED_SECRET = re.compile(
    r"(?i)(?:^|[\s\"'{(,;_])(?:[A-Za-z0-9_]*_)?(?:api_?key|token|secret|passw(?:or)?d|auth_?key)[\"']?\s*[=:]\s*"
    r"[\"']?(?P<value>[A-Za-z0-9+/_.~-]{16,})(?![\w$({])"
)
_PLACEHOLDER = re.compile(
    r"(?i)your|example|change|placeholder|xxxx|dummy|sample|insert|replace|redacted|test|<|\.\.\."
)
SECRET_NAME = re.compile(r"(?:^|_)(?:TOKEN|SECRET|PASSWORD|PASSWD|API_?KEY|AUTH_KEY|WEBHOOK(?:_URL)?)(?:_|$)")
_LOCAL_PORT = re.compile(r"(?:localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\]):(\d{2,5})\b")
_PROVIDERS = {
    "openai": re.compile(r"api\.openai\.com|\bopenai\s+api\b"),
    "anthropic": re.compile(r"api\.anthropic\.com"),
    "google": re.compile(r"generativelanguage\.googleapis\.com"),
    "mistral": re.compile(r"api\.mistral\.ai"),
    "openrouter": re.compile(r"openrouter\.ai/api"),
    "groq": re.compile(r"api\.groq\.com"),
}
PAID_MODULES = {
    "openai": "openai",
    "anthropic": "anthropic",
    "mistralai": "mistral",
    "groq": "groq",
    "cohere": "cohere",
}
EXPORTS = ("task_queue.json", "agent_status.json")
_WRITES = re.compile(r"open\([^)]*,\s*[\"'](?:w|a|r\+|x)|write_text\(|json\.dump\(|os\.replace\(|writeFileSync\(")


def home_folders(text: str) -> Iterator[re.Match[str]]:
    """Folders below the home of one user."""
    return _HOME.finditer(text)


def secrets_in(text: str, *, named: bool = True) -> Iterator[re.Match[str]]:
    """What is a secret by its form, or, with `named`, by the name that it is given and its disorder."""
    for pattern in _KNOWN_SECRETS:
        yield from (match for match in pattern.finditer(text) if not _PLACEHOLDER.search(match[0]))
    if named:
        for match in _NAMED_SECRET.finditer(text):
            value = match["value"]
            known = any(pattern.search(value) for pattern in _KNOWN_SECRETS)
            if not known and not _PLACEHOLDER.search(value) and _disorder(value) >= 3.2 and _mixed(value):
                yield match


def _disorder(text: str) -> float:
    """Shannon entropy in bits for each character."""
    counts = [text.count(letter) / len(text) for letter in set(text)]
    return -sum(share * math.log2(share) for share in counts)


def _mixed(text: str) -> bool:
    return any(letter.isdigit() for letter in text) and any(letter.isalpha() for letter in text) and "/" not in text


def local_ports(text: str) -> Iterator[re.Match[str]]:
    """Ports of this machine that are written out and that nobody can set from outside, as `${NAME:-…}` could be."""
    for match in _LOCAL_PORT.finditer(text):
        before = text[: match.start()]
        opened = before.rfind("${")
        if opened >= 0 and "}" not in before[opened:] and re.match(r"\$\{\w+:?[-=]", before[opened:]):
            continue
        yield match


def providers_in(text: str) -> set[str]:
    """The paid services that a text addresses."""
    return {name for name, pattern in _PROVIDERS.items() if pattern.search(text)}


def writes_export(text: str, names: tuple[str, ...] = ()) -> bool:
    """Whether a piece of Python or JavaScript that names one of our exports, or a variable for it, writes files."""
    return any(name in text for name in (*EXPORTS, *names)) and _WRITES.search(text) is not None
