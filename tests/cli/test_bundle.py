"""What `doctor --bundle` writes holds no secret of the workspace, in no form that it could be written in."""

from __future__ import annotations

import base64
import io
import json
import tarfile
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.__main__ import run
from cli.doctor import bundle
from foundation.agent_secrets import AgentSecrets
from foundation.secrets import (
    AUDIT_KEY,
    AUTHORITY_KEY,
    DATABASE_KEY,
    SERVICE_TOKEN,
    USER_TOKEN,
    service_account,
    user_account,
)
from tests.cli.initialised import Place

AGENT_KEY = 'sk-canary "0815"/for+the=model'
FOREIGN = "ghp_A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"
"""A key that no keychain of ours knows: it is told by its looks."""
PASSWORD = "correcthorsebattery"


def written(secret: str) -> dict[str, bytes]:
    """A secret in the forms in which programs write it down."""
    raw = secret.encode()
    forms = {
        "raw": raw,
        "JSON": json.dumps(secret)[1:-1].encode(),
        "JSON, ASCII": json.dumps(secret, ensure_ascii=True)[1:-1].encode(),
        "URL": urllib.parse.quote(secret, safe="").encode(),
        "hex": raw.hex().encode(),
        "HEX": raw.hex().upper().encode(),
        "base64": base64.b64encode(raw),
        "base64 for URLs": base64.urlsafe_b64encode(raw).rstrip(b"="),
    }
    for shift in (1, 2):  # in the middle of something else that is encoded
        forms[f"base64 after {shift}"] = base64.b64encode(b"x" * shift + raw)[4:-4]
    return forms


def planted(place: Place) -> dict[str, str]:
    """Every secret that there is."""
    workspace, store = place.workspace, place.secrets
    AgentSecrets(workspace, store, place.clock).set("openai", AGENT_KEY)
    workspace.hooks_token.parent.mkdir()
    workspace.hooks_token.write_text("qtm_hooksHOOKS12_" + "h" * 43 + "_abcdef\n")
    account = user_account(workspace)
    kinds = {"your token": USER_TOKEN, "database key": DATABASE_KEY, "audit key": AUDIT_KEY, "authority": AUTHORITY_KEY}
    found = {name: store.get(kind, account) or "" for name, kind in kinds.items()}
    found["a service's token"] = store.get(SERVICE_TOKEN, service_account(workspace, "runner")) or ""
    key = found["database key"]
    found["recovery key"] = "-".join(key[at : at + 8] for at in range(0, len(key), 8))
    return {**found, "an agent's": AGENT_KEY, "the hooks' token": workspace.hooks_token.read_text().strip()}


def plant(place: Place, secrets: dict[str, str]) -> int:
    """Into every file that a bundle is made of, in every form; how many lines."""
    lines = [form for secret in secrets.values() for form in written(secret).values()]
    lines += [FOREIGN.encode(), f"password={PASSWORD}".encode(), f"https://ann:{PASSWORD}@example.org/".encode()]
    # On lines of their own, within a sentence, and in JSON.
    content = b"".join(line + b"\nsaid " + line + b' at last {"said":"' + line + b'"}\n' for line in lines)
    for name in ("system.log", "coordinator.out", "up.out"):
        (place.workspace.logs / name).write_bytes(content)
    place.configure(cpu_limit=FOREIGN, my_api_key=FOREIGN)
    return len(lines)


def contents(path: Path) -> bytes:
    with tarfile.open(path) as archive:
        files = [archive.extractfile(entry) for entry in archive.getmembers()]
        return b"\n".join(file.read() for file in files if file is not None)


def leaks(content: bytes, secrets: dict[str, str]) -> list[str]:
    found = [
        f"{name} as {form}"
        for name, secret in secrets.items()
        for form, text in written(secret).items()
        if text in content
    ]
    # PEM: any line of the key, too.
    found += [f"a line of {name}" for name, text in secrets.items() for line in _long_lines(text) if line in content]
    return found + [text for text in (FOREIGN, PASSWORD) if text.encode() in content]


def _long_lines(text: str) -> Iterator[bytes]:
    return (line.encode() for line in text.splitlines() if len(line) > 20 and not line.startswith("-----"))


@pytest.fixture(autouse=True)
def _whole_logs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle, "LOG_LINES", 10_000)  # nothing is left out because it is long ago


def test_no_secret_is_in_it(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    secrets = planted(place)
    lines = plant(place, secrets)
    assert run(["doctor", "--bundle", "report.tar.gz"], place) == 1, "the settings are not right"
    said = capsys.readouterr().out
    path = place.folder / "report.tar.gz"
    content = contents(path)
    print(f"{len(secrets) + 2} secrets in {lines} lines of each of 3 logs; {len(content)} bytes in the bundle")
    assert leaks(content, secrets) == []
    assert str(place.folder).encode() not in content
    assert path.stat().st_mode & 0o777 == 0o600
    for name in ("README.txt", "doctor.json", "versions.json", "files.json", "logs/system.log", "logs/up.out"):
        assert f" bytes  {name}" in said
    assert b'"part": "settings"' in content
    assert run(["doctor", "--bundle", "report.tar.gz"], place) == 73, "it writes over nothing"


def test_control_without_the_cleaning_they_are_found(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = planted(place)
    plant(place, secrets)
    monkeypatch.setattr(bundle, "_cleaner", lambda subject: lambda content: content)
    run(["doctor", "--bundle", "report.tar.gz"], place)
    assert len(leaks(contents(place.folder / "report.tar.gz"), secrets)) > 50


@pytest.mark.parametrize(
    "text",
    [
        "/srv/quantum/workspaces/agents/audit_large_files_weekly/run",
        "01JDT5V3X9ABCDEFGHJKMNPQRS waited",
        "runner-local answers on coordinator.sock.",
        "Everything is healthy, as 4 processes under process 9835.",
    ],
)
def test_what_is_no_secret_stays(place: Place, text: str) -> None:
    (place.workspace.logs / "system.log").write_text(f"{text}\n")
    packed = bundle.write_bundle(place, [], place.folder / "report.tar.gz")
    assert text.encode() in contents(Path(packed["path"]))


def test_outside_of_a_workspace_it_holds_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from cli.session import Session

    session = Session(environ={"HOME": str(tmp_path)}, cwd=tmp_path)
    assert run(["doctor", "--bundle", "report.tar.gz", "--json"], session) == 1
    named = json.load(io.StringIO(capsys.readouterr().out))["bundle"]["files"]
    assert set(named) == {"README.txt", "doctor.json", "versions.json"}
