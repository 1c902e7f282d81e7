"""Every channel against a real receiver on this machine: a web server, a mail server, a desktop's notifications."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler

from foundation.errors import Invalid, Unavailable, Unsupported
from foundation.log import configure, get_logger
from services.safety.adapters.alert_channels import notification, open_channels
from services.safety.adapters.alert_config import AlertConfig, ChannelConfig, read_alert_config
from services.safety.domain.alert import Level
from services.safety.ports import AlertChannel, AlertMessage
from tests.ports import free_port
from tests.programs import require

ROOT = Path(__file__).resolve().parents[2]
MESSAGE = AlertMessage(
    cause="breaker:agent:build",
    level=Level.CRITICAL,
    text='The breaker of agent build has opened: 3 failures in a row; "quoted" & <b>.',
    count=3,
    first_at=datetime(2026, 5, 1, 12, tzinfo=UTC),
    at=datetime(2026, 5, 1, 13, tzinfo=UTC),
    workspace="/home/ann/ws",
)


def channel(config: ChannelConfig, **secrets: str) -> AlertChannel:
    [opened] = open_channels((config,), logger=get_logger("safety"), secret=secrets.get, environ=os.environ)
    return opened


# -- webhook


@dataclass
class Hook:
    """What a web server was sent, and the answer that it gives."""

    answer: int = 204
    location: str = ""
    requests: list[tuple[dict[str, str], Any]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/alerts"


@contextmanager
def hooked(hook: Hook) -> Iterator[Hook]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.requests.append((dict(self.headers), json.loads(body)))
            self.send_response(hook.answer)
            if hook.location:
                self.send_header("Location", hook.location)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hook.port = server.server_port
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield hook
        finally:
            server.shutdown()
            thread.join()


def webhook(url: str, secret: str = "") -> ChannelConfig:
    return ChannelConfig(name="chat", kind="webhook", level=Level.WARNING, url=url, secret=secret)


def test_a_webhook_gets_a_document_and_its_token() -> None:
    with hooked(Hook()) as hook:
        channel(webhook(hook.url, "chat"), chat="s3cret").say(MESSAGE)
    [(headers, document)] = hook.requests
    assert headers["Authorization"] == "Bearer s3cret"
    assert headers["Content-Type"] == "application/json"
    assert document == {
        "text": f"[CRITICAL] {MESSAGE.text}",
        "level": "critical",
        "cause": "breaker:agent:build",
        "sentence": MESSAGE.text,
        "count": 3,
        "first_at": "2026-05-01T12:00:00Z",
        "workspace": "/home/ann/ws",
    }


def test_a_webhook_that_refuses_is_said_so() -> None:
    with hooked(Hook(answer=500)) as hook, pytest.raises(Unavailable, match="answered 500"):
        channel(webhook(hook.url)).say(MESSAGE)
    with pytest.raises(Unavailable, match="not reached"):
        channel(webhook(hook.url)).say(MESSAGE)
    with pytest.raises(Unavailable, match="not in the keychain"):
        channel(webhook(hook.url, "chat")).say(MESSAGE)


def test_what_does_not_speak_http_is_no_webhook() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            taken, _ = listener.accept()
            with taken:
                taken.recv(65_536)
                taken.sendall(b"220 mail.example.org ESMTP\r\n")

        greeting = threading.Thread(target=greet)
        greeting.start()
        with pytest.raises(Unavailable, match="does not speak HTTP"):
            channel(webhook(f"http://127.0.0.1:{listener.getsockname()[1]}/")).say(MESSAGE)
        greeting.join()


def test_a_token_does_not_follow_a_redirect() -> None:
    with (
        hooked(Hook()) as elsewhere,
        hooked(Hook(answer=307, location=elsewhere.url)) as hook,
        pytest.raises(Unavailable, match="answered 307"),
    ):
        channel(webhook(hook.url, "chat"), chat="s3cret").say(MESSAGE)
    assert elsewhere.requests == []


# -- mail


class Mailbox(MessageHandler):
    """Keeps what arrives."""

    def __init__(self) -> None:
        super().__init__()
        self.mails: list[Message] = []

    def handle_message(self, message: Message) -> None:
        """One mail."""
        self.mails.append(message)


def test_mail_arrives_in_a_real_mailbox() -> None:
    mailbox = Mailbox()
    server = Controller(mailbox, hostname="127.0.0.1", port=free_port())
    server.start()
    try:
        config = ChannelConfig(
            name="mail",
            kind="mail",
            level=Level.WARNING,
            host="127.0.0.1",
            port=server.port,
            sender="quantum@example.org",
            to=("ann@example.org", "bob@example.org"),
        )
        channel(config).say(MESSAGE)
    finally:
        server.stop()
    [mail] = mailbox.mails
    assert mail["Subject"].startswith("[Quantum critical] The breaker of agent build")
    assert mail["To"] == "ann@example.org, bob@example.org"
    payload = mail.get_payload(decode=True)
    assert isinstance(payload, bytes)
    body = payload.decode()
    assert MESSAGE.text in body
    assert "/home/ann/ws" in body
    with pytest.raises(Unavailable, match="mail was not taken"):
        channel(config).say(MESSAGE)


# -- desktop

NOTIFICATION_SERVICE = """
import json, os, subprocess, sys
from jeepney import DBusAddress, HeaderFields, MessageType, new_error, new_method_call, new_method_return
from jeepney.bus_messages import message_bus
from jeepney.io.blocking import open_dbus_connection
from foundation.log import get_logger
from services.safety.adapters.alert_channels import open_channels
from tests.safety.test_alert_channels import DESKTOP, MESSAGE

connection = open_dbus_connection()
assert connection.send_and_get_reply(message_bus.RequestName("org.freedesktop.Notifications")).body == (1,)
import threading
[channel] = open_channels((DESKTOP,), logger=get_logger("safety"), secret=lambda name: None, environ=os.environ)
saying = threading.Thread(target=channel.say, args=(MESSAGE,))
saying.start()
while saying.is_alive():
    try:
        message = connection.receive(timeout=0.2)
    except TimeoutError:
        continue
    if message.header.message_type is not MessageType.method_call:
        continue
    member = message.header.fields[HeaderFields.member]
    if member == "Notify":
        print(json.dumps({"app": message.body[0], "title": message.body[3], "text": message.body[4],
                          "urgency": message.body[6]["urgency"][1]}), flush=True)
        connection.send(new_method_return(message, "u", (7,)))
    elif member == "GetCapabilities":
        connection.send(new_method_return(message, "as", (["body"],)))
    elif member == "GetServerInformation":
        connection.send(new_method_return(message, "ssss", ("trial", "quantum", "1", "1.2")))
    else:
        connection.send(new_error(message, "org.freedesktop.DBus.Error.UnknownMethod"))
saying.join()
"""
DESKTOP = ChannelConfig(name="desktop", kind="desktop", level=Level.WARNING)


def test_a_notification_arrives_on_a_real_bus() -> None:
    session = require("dbus-run-session", apt="dbus")
    require("notify-send", apt="libnotify-bin")
    done = subprocess.run(
        [session, "--", sys.executable, "-c", NOTIFICATION_SERVICE],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    assert shown == {"app": "Quantum", "title": "Quantum: critical", "text": MESSAGE.text, "urgency": 2}


def test_the_text_of_a_notification_never_becomes_a_script_or_an_option() -> None:
    nasty = '--help" & (do shell script "rm -rf ~")'
    message = AlertMessage(
        cause="x", level=Level.INFO, text=nasty, count=1, first_at=MESSAGE.first_at, at=MESSAGE.at, workspace="/w"
    )
    mac, linux = notification(message, "darwin"), notification(message, "linux")
    assert mac[0] == "osascript"
    assert nasty not in mac[2], "the script is the same whatever the text"
    assert mac[-1] == nasty
    assert linux[-3:] == ["--", "Quantum: info", nasty]


def test_without_the_program_it_says_what_to_install() -> None:
    [desktop] = open_channels(
        (DESKTOP,), logger=get_logger("s"), secret=lambda name: None, environ={"PATH": "/nowhere"}
    )
    with pytest.raises(Unsupported, match="not installed"):
        desktop.say(MESSAGE)


# -- log and configuration


def test_the_log_carries_the_cause(tmp_path: Path) -> None:
    log = tmp_path / "system.log"
    configure("safety", system_log=log, debug=False)
    channel(ChannelConfig(name="log", kind="log", level=Level.INFO)).say(MESSAGE)
    line = json.loads(log.read_text().splitlines()[-1])
    assert (line["action"], line["cause"], line["level"]) == ("alert", "breaker:agent:build", "error")


GOOD = """{
  // the runbook's own file; comments are YAML's
  "cool_down": "10m", "escalate_after": "never", "per_hour": 5,
  "channels": {
    "desktop": {"level": "critical"},
    "chat": {"kind": "webhook", "url": "https://chat.example.org/x", "secret": "chat", "per_hour": 2},
    "mail": {"host": "mail.example.org", "from": "q@example.org", "to": ["ann@example.org"], "level": "info"},
  },
}"""


def test_the_configuration_is_read(tmp_path: Path) -> None:
    path = tmp_path / "alert_config.json"
    assert read_alert_config(path) == AlertConfig(), "without a file everything goes to the log"
    path.write_text(GOOD.replace("  // the runbook's own file; comments are YAML's\n", ""))
    config = read_alert_config(path)
    assert config.rules.escalate_after is None
    assert [(one.name, one.kind, one.level.name, one.per_hour) for one in config.channels] == [
        ("log", "log", "INFO", 1_000),
        ("desktop", "desktop", "CRITICAL", 5),
        ("chat", "webhook", "WARNING", 2),
        ("mail", "mail", "INFO", 5),
    ]


def test_every_fault_of_the_configuration_is_said_at_once(tmp_path: Path) -> None:
    path = tmp_path / "alert_config.json"
    path.write_text(
        '{"cool_dwn": "10m", "per_hour": 0, "channels": {"pager": {}, "chat": {"kind": "webhook", "levle": "info"},'
        ' "mail": {"host": "h", "from": "a", "to": [], "level": "loud"}, "hook": {"kind": "webhook", "url": "ftp://x"},'
        ' "five": 5}}'
    )
    with pytest.raises(Invalid) as refusal:
        read_alert_config(path)
    faults = {fault.path: fault.message for fault in refusal.value.fields}
    assert faults["cool_dwn"] == "is not known; did you mean cool_down?"
    assert set(faults) == {
        "cool_dwn",
        "per_hour",
        "channels.pager.kind",
        "channels.chat.url",
        "channels.chat.levle",
        "channels.mail.to",
        "channels.mail.level",
        "channels.hook.url",
        "channels.five",
    }
    for text in ("[1]", "{", "1"):
        path.write_text(text)
        with pytest.raises(Invalid):
            read_alert_config(path)
