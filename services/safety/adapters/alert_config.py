"""Reads config/alert_config.json: who is told of what, how often, through which channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from foundation.errors import FieldFault, Invalid, QuantumError, did_you_mean
from foundation.quantities import parse_duration
from services.safety.domain.alert import AlertRules, Level

KINDS = ("log", "desktop", "webhook", "mail")
PER_HOUR = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelConfig:
    """One channel: its kind, the least level that it carries, and what the kind needs to know."""

    name: str
    kind: str
    level: Level
    per_hour: int = PER_HOUR
    url: str = ""
    host: str = ""
    port: int = 0
    sender: str = ""
    to: tuple[str, ...] = ()
    user: str = ""
    secret: str = ""
    """Name of a secret in the keychain (service `quantum-secret`): a webhook's bearer token, a mail password."""


_RULES = AlertRules()


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertConfig:
    """The rules, and the channels in the order of the file."""

    rules: AlertRules = _RULES
    channels: tuple[ChannelConfig, ...] = field(
        default=(ChannelConfig(name="log", kind="log", level=Level.INFO, per_hour=1_000),)
    )


def read_alert_config(path: Path) -> AlertConfig:
    """The configuration in a file; without one, everything goes to the log and nowhere else.

    Raises Invalid with every fault of the file at once: a rule that is not obeyed because of a slip would be found out
    in the night in which it was needed.
    """
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return AlertConfig()
    import yaml  # only where there is a file: 3 MB

    faults: list[FieldFault] = []
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _invalid(path, [FieldFault(path.name, f"cannot be read: {error}")]) from None
    if not isinstance(document, dict):
        raise _invalid(path, [FieldFault(path.name, "is no object.")])
    read = _Reader(document, "", faults)
    cool_down = read("cool_down", _duration, _RULES.cool_down)
    escalate_after = read("escalate_after", _duration_or_never, _RULES.escalate_after)
    per_hour = read("per_hour", _count, PER_HOUR)
    given = read("channels", _object, {})
    read.refuse_others()
    channels = tuple(_channel(name, value, per_hour, faults) for name, value in given.items())
    if faults:
        raise _invalid(path, faults)
    rules = AlertRules(cool_down=cool_down, escalate_after=escalate_after)
    log = () if any(channel.kind == "log" for channel in channels) else AlertConfig().channels
    return AlertConfig(rules=rules, channels=(*log, *channels))


def _invalid(path: Path, faults: list[FieldFault]) -> Invalid:
    return Invalid(
        "bad_alert_config",
        f"{path} is not right.",
        remedy="docs/alerts.md lists what it may hold.",
        fields=tuple(faults),
    )


_NEEDED = {"log": (), "desktop": (), "webhook": ("url",), "mail": ("host", "from", "to")}
_MORE = {"log": (), "desktop": (), "webhook": ("secret",), "mail": ("port", "user", "secret")}


def _channel(name: str, value: object, per_hour: int, faults: list[FieldFault]) -> ChannelConfig:
    place = f"channels.{name}"
    none = ChannelConfig(name=str(name), kind="log", level=Level.INFO)
    if not isinstance(value, dict):
        faults.append(FieldFault(place, "must be an object."))
        return none
    read = _Reader(value, f"{place}.", faults)
    kind = read("kind", _kind, name if name in KINDS else "")
    if kind not in KINDS:
        if "kind" not in value:
            faults.append(FieldFault(f"{place}.kind", f"is missing; it is one of {', '.join(KINDS)}."))
        return none
    for needed in _NEEDED[kind]:
        if needed not in value:
            faults.append(FieldFault(f"{place}.{needed}", f"is missing, and a {kind} channel needs it."))
    channel = ChannelConfig(
        name=str(name),
        kind=kind,
        level=read("level", _level, Level.INFO if kind == "log" else Level.WARNING),
        per_hour=read("per_hour", _count, per_hour if kind != "log" else 1_000),
        url=read("url", _url, "") if kind == "webhook" else "",
        host=read("host", _text, "") if kind == "mail" else "",
        port=read("port", _count, 587) if kind == "mail" else 0,
        sender=read("from", _text, "") if kind == "mail" else "",
        to=read("to", _texts, ()) if kind == "mail" else (),
        user=read("user", _text, "") if kind == "mail" else "",
        secret=read("secret", _text, "") if kind in ("webhook", "mail") else "",
    )
    read.refuse_others((*_NEEDED[kind], *_MORE[kind]))
    return channel


class _Reader:
    """Takes values out of an object, collecting the faults."""

    def __init__(self, document: Mapping[str, Any], place: str, faults: list[FieldFault]) -> None:
        self._document = document
        self._place = place
        self._faults = faults
        self._asked: dict[str, None] = {}

    def __call__(self, name: str, reader: Callable[[Any], Any], default: Any) -> Any:
        self._asked[name] = None
        if name not in self._document:
            return default
        try:
            return reader(self._document[name])
        except (QuantumError, TypeError, ValueError) as error:
            self._faults.append(FieldFault(f"{self._place}{name}", str(error)))
            return default

    def refuse_others(self, more: tuple[str, ...] = ()) -> None:
        """Every key that nobody asked for is a slip."""
        known = (*self._asked, *more)
        for name in self._document:
            if name not in known:
                near = did_you_mean(str(name), known)
                self._faults.append(
                    FieldFault(f"{self._place}{name}", "is not known" + (f"; did you mean {near}?" if near else "."))
                )


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise TypeError("must be a text.")
    return value


def _texts(value: object) -> tuple[str, ...]:
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not items:
        raise TypeError("must be an address, or a list of them.")
    return tuple(_text(item) for item in items)


def _object(value: object) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError("must be an object.")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise TypeError("must be a whole number from 1.")
    return value


def _duration(value: object) -> timedelta:
    return parse_duration(_text(value))


def _duration_or_never(value: object) -> timedelta | None:
    return None if value == "never" else _duration(value)


def _level(value: object) -> Level:
    names = {level.name.lower(): level for level in Level}
    if value not in names:
        raise ValueError(f"must be one of {', '.join(names)}.")
    return names[str(value)]


def _kind(value: object) -> str:
    if value not in KINDS:
        raise ValueError(f"must be one of {', '.join(KINDS)}.")
    return str(value)


def _url(value: object) -> str:
    url = _text(value)
    if not url.startswith(("https://", "http://127.0.0.1", "http://localhost")):
        raise ValueError("must begin with https:// (http:// on this machine alone).")
    return url
