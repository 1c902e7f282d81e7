"""Log lines: a sentence for people, a stable `action` for machines, and never a token."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from pathlib import Path

from foundation.log_files import LogFile
from foundation.tokens import mask

SYSTEM_LOG_BYTES_MAX = 10 << 20
"""The size at which `logs/system.log` is renamed; `SYSTEM_LOG_FILES_MAX` of those that were are kept."""
SYSTEM_LOG_FILES_MAX = 20

_ROOT = "quantum"
_EXTRA = "quantum_fields"


class Logger:
    """Writes for one service; `action` is snake_case and does not change, the sentence may."""

    def __init__(self, service: str) -> None:
        self.service = service
        self._logger = logging.getLogger(f"{_ROOT}.{service}")

    def debug(self, sentence: str, /, *, action: str, **fields: object) -> None:
        """For whoever looks for a fault; written with `--debug` only."""
        self._write(logging.DEBUG, sentence, action, fields)

    def info(self, sentence: str, /, *, action: str, **fields: object) -> None:
        """Something happened as it should."""
        self._write(logging.INFO, sentence, action, fields)

    def warning(self, sentence: str, /, *, action: str, **fields: object) -> None:
        """Something is not as it should be, and the system copes."""
        self._write(logging.WARNING, sentence, action, fields)

    def error(self, sentence: str, /, *, action: str, **fields: object) -> None:
        """Something failed and a person should look."""
        self._write(logging.ERROR, sentence, action, fields)

    def exception(self, sentence: str, /, *, action: str, error: BaseException | None = None, **fields: object) -> None:
        """Like `error`, with the traceback of `error` or of the exception that is being handled."""
        self._write(logging.ERROR, sentence, action, fields, error or sys.exc_info()[1])

    def _write(
        self,
        level: int,
        sentence: str,
        action: str,
        fields: dict[str, object],
        error: BaseException | None = None,
    ) -> None:
        extra = {_EXTRA: {"action": action, **fields}}
        self._logger.log(level, "%s", sentence, extra=extra, exc_info=error)


def get_logger(service: str) -> Logger:
    """The logger of a service or of a part of one (`coordinator`, `coordinator.store`)."""
    return Logger(service)


def configure(service: str, *, system_log: Path | None, debug: bool) -> None:
    """Says where this process's log lines go; called once by `__main__`, again only by tests.

    Appends JSON lines to `system_log`; writes text to standard error where that is a terminal, where there
    is no `system_log`, and always with `debug`. Lines of libraries go the same way, from WARNING up.
    """
    root = logging.getLogger()
    for handler in list(root.handlers):
        if isinstance(handler.formatter, (_JsonLines, _Text)):
            root.removeHandler(handler)
            handler.close()
    root.setLevel(logging.WARNING)
    logging.getLogger(_ROOT).setLevel(logging.DEBUG if debug else logging.INFO)
    if system_log is not None:
        lines = _SharedLog(system_log)
        lines.setFormatter(_JsonLines(service))
        root.addHandler(lines)
    if system_log is None or debug or sys.stderr.isatty():
        text = logging.StreamHandler(sys.stderr)
        text.setFormatter(_Text(service))
        root.addHandler(text)


class _SharedLog(logging.Handler):
    """One write per line on a log that several processes share; what a full disk does not take is counted and said."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        path.parent.mkdir(parents=True, exist_ok=True)
        self._log = LogFile(path, bytes_max=SYSTEM_LOG_BYTES_MAX, files_max=SYSTEM_LOG_FILES_MAX, stays_open=True)
        self._missing = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Append the record's line."""
        try:
            line = self.format(record)
            if self._missing:
                line = line[:-1] + f', "lines_missing_before": {self._missing}}}'
            self._log.append(f"{line}\n".encode(errors="backslashreplace"))
            self._missing = 0
        except OSError:
            self._missing += 1
        except Exception:  # noqa: BLE001 - a line that cannot be made must not end what it is about
            self.handleError(record)

    def close(self) -> None:
        """Let the file go."""
        self._log.close()
        super().close()


class _JsonLines(logging.Formatter):
    """One JSON object per line: at, level, service, action, message, then the fields."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        line: dict[str, object] = {
            "at": _moment(record).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "service": _service(record, self._service),
            "action": fields.pop("action", "library"),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        line |= {name: value for name, value in fields.items() if name not in line}
        return mask(json_line(line))


class _Text(logging.Formatter):
    """One line for people: time, level unless INFO, service, sentence, fields; a traceback below."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        action = fields.pop("action", None)
        if record.levelno <= logging.DEBUG and action:
            fields = {"action": action} | fields
        level = "" if record.levelno == logging.INFO else f"{record.levelname} "
        moment = _moment(record).astimezone().strftime("%H:%M:%S")
        shown = "".join(f" {name}={value}" for name, value in fields.items())
        line = _inert(f"{moment} {_service(record, self._service)}: {level}{record.getMessage()}{shown}")
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return mask(line)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    return dict(getattr(record, _EXTRA, {}))


def _service(record: logging.LogRecord, process: str) -> str:
    """The name after `quantum.`; for a library's line, the process it runs in."""
    return record.name.removeprefix(f"{_ROOT}.") if record.name.startswith(f"{_ROOT}.") else process


def _moment(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def json_line(document: dict[str, object]) -> str:
    """An object as a line that a terminal may show: what does not print is escaped, beyond what JSON asks for."""
    text = json.dumps(document, ensure_ascii=False, default=str)
    return text if text.isprintable() else "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def _inert(text: str) -> str:
    """The text on one line without control characters: what a script printed must not move the cursor."""
    return text if text.isprintable() else "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
