"""The ways on which an alert leaves: the log, the desktop, a webhook, mail. Each call blocks; give it a thread."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from foundation.errors import Unavailable, Unsupported
from foundation.log import Logger
from services.safety.adapters.alert_config import ChannelConfig
from services.safety.domain.alert import Level
from services.safety.ports import AlertChannel, AlertMessage

SECONDS = 10.0

Secret = Callable[[str], str | None]
"""The secret of a name, None when there is none."""


def open_channels(
    configs: tuple[ChannelConfig, ...], *, logger: Logger, secret: Secret, environ: Mapping[str, str]
) -> tuple[AlertChannel, ...]:
    """A channel for each configuration, in their order."""
    makers: dict[str, Callable[[ChannelConfig], AlertChannel]] = {
        "log": lambda config: LogChannel(config, logger),
        "desktop": lambda config: DesktopChannel(config, environ),
        "webhook": lambda config: WebhookChannel(config, secret),
        "mail": lambda config: MailChannel(config, secret),
    }
    return tuple(makers[config.kind](config) for config in configs)


@dataclass(frozen=True, slots=True)
class LogChannel:
    """A line in the system log."""

    config: ChannelConfig
    logger: Logger

    def say(self, message: AlertMessage) -> None:
        """Write it with the log's own level."""
        write = {Level.INFO: self.logger.info, Level.WARNING: self.logger.warning, Level.CRITICAL: self.logger.error}
        write[message.level](message.text, action="alert", cause=message.cause, count=message.count)


@dataclass(frozen=True, slots=True)
class DesktopChannel:
    """A notification on the screen of whoever sits there: notify-send on Linux, osascript on macOS."""

    config: ChannelConfig
    environ: Mapping[str, str]

    def say(self, message: AlertMessage) -> None:
        """Show it. Raises Unsupported without the program, Unavailable when it fails."""
        argv = notification(message, sys.platform)
        program = shutil.which(argv[0], path=self.environ.get("PATH"))
        if program is None:
            raise Unsupported(
                "no_notifications",
                f"{argv[0]} is not installed, so nothing can be shown on this desktop.",
                remedy="sudo apt-get install libnotify-bin" if argv[0] == "notify-send" else "",
            )
        # Never a fork: this process has gRPC loaded.
        pid = os.posix_spawn(program, argv, dict(self.environ), setsigdef=(), file_actions=_QUIET)
        _, status = os.waitpid(pid, 0)
        if code := os.waitstatus_to_exitcode(status):
            raise Unavailable("notification_failed", f"{argv[0]} ended with {code}.")


_QUIET = tuple((os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2))


def notification(message: AlertMessage, platform: str) -> list[str]:
    """The command that shows a message; its text is an argument of its own and never becomes part of a script."""
    title = f"Quantum: {message.level.name.lower()}"
    if platform == "darwin":
        script = "on run argv\ndisplay notification (item 2 of argv) with title (item 1 of argv)\nend run"
        return ["osascript", "-e", script, title, message.text]
    urgency = {Level.INFO: "low", Level.WARNING: "normal", Level.CRITICAL: "critical"}[message.level]
    return ["notify-send", f"--urgency={urgency}", "--app-name=Quantum", "--", title, message.text]


@dataclass(frozen=True, slots=True)
class WebhookChannel:
    """A JSON document, posted. `text` is what chat services show."""

    config: ChannelConfig
    secret: Secret

    def say(self, message: AlertMessage) -> None:
        """Post it. Raises Unavailable when it is not taken with a status of 2xx."""
        import http.client
        import urllib.error
        import urllib.request

        headers = {"Content-Type": "application/json", "User-Agent": "quantum"}
        if self.config.secret:
            headers["Authorization"] = f"Bearer {_known(self.config, self.secret)}"
        request = urllib.request.Request(self.config.url, data=_document(message), headers=headers, method="POST")
        # Redirects are not followed: a token must not go where somebody else points.
        opener = urllib.request.OpenerDirector()
        for handler in (urllib.request.HTTPHandler, urllib.request.HTTPSHandler, urllib.request.HTTPErrorProcessor):
            opener.add_handler(handler())
        opener.add_handler(urllib.request.HTTPDefaultErrorHandler())
        try:
            with opener.open(request, timeout=SECONDS):
                return
        except urllib.error.HTTPError as error:
            raise Unavailable("webhook_refused", f"The webhook answered {error.code}.") from None
        except OSError as error:
            raise Unavailable("webhook_failed", f"The webhook was not reached: {_reason(error)}.") from None
        except http.client.HTTPException:
            raise Unavailable("webhook_failed", "What answered at the webhook's address does not speak HTTP.") from None


def _document(message: AlertMessage) -> bytes:
    return json.dumps(
        {
            "text": f"[{message.level.name}] {message.text}",
            "level": message.level.name.lower(),
            "cause": message.cause,
            "sentence": message.text,
            "count": message.count,
            "first_at": _utc(message.first_at),
            "workspace": message.workspace,
        }
    ).encode()


def _utc(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


@dataclass(frozen=True, slots=True)
class MailChannel:
    """A mail through a server that speaks TLS; on this machine also without."""

    config: ChannelConfig
    secret: Secret

    def say(self, message: AlertMessage) -> None:
        """Send it. Raises Unavailable when the server does not take it."""
        import smtplib
        import ssl
        from email.message import EmailMessage
        from email.utils import formatdate, make_msgid

        mail = EmailMessage()
        mail["From"], mail["To"] = self.config.sender, ", ".join(self.config.to)
        mail["Subject"] = f"[Quantum {message.level.name.lower()}] {' '.join(message.text.split())[:120]}"
        mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain="quantum.invalid")
        mail.set_content(f"{message.text}\n\nCause: {message.cause}\nWorkspace: {message.workspace}\n")
        try:
            with smtplib.SMTP(self.config.host, self.config.port, timeout=SECONDS) as server:
                server.ehlo()
                if server.has_extn("starttls"):
                    server.starttls(context=ssl.create_default_context())
                elif self.config.host not in ("127.0.0.1", "::1", "localhost"):
                    raise Unavailable("mail_without_tls", f"{self.config.host} does not speak TLS; no mail goes there.")
                if self.config.user:
                    server.login(self.config.user, _known(self.config, self.secret))
                server.send_message(mail)
        except (OSError, smtplib.SMTPException) as error:
            raise Unavailable("mail_failed", f"The mail was not taken: {_reason(error)}.") from None


def _known(config: ChannelConfig, secret: Secret) -> str:
    found = secret(config.secret)
    if found is None:
        raise Unavailable(
            "no_secret", f"The secret “{config.secret}” of the channel {config.name} is not in the keychain."
        )
    return found


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", "") or error) or type(error).__name__
