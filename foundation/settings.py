"""Settings: flag before `QUANTUM_*` before the workspace's file before the default; all faults at once."""

from __future__ import annotations

import dataclasses
import math
import os
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from foundation.errors import FieldFault, Internal, Invalid, QuantumError, did_you_mean
from foundation.known_settings import (
    ALIASES,
    BURN_RATES,
    KNOWN,
    NOT_SETTINGS,
    OBJECTIVES,
    ORDERED,
    Setting,
    Type,
    Value,
)
from foundation.quantities import format_size, parse_size
from foundation.workspace import Workspace

S = TypeVar("S")

_PREFIX = "QUANTUM_"
_NEARLY_OURS = 0.85  # one or two slips in a name of usual length
_PYTHON_TYPES = {Type.INTEGER: int, Type.NUMBER: float, Type.SIZE: int, Type.TEXT: str, Type.FLAG: bool}
_FLAGS = {
    "true": True,
    "yes": True,
    "on": True,
    "1": True,
    "false": False,
    "no": False,
    "off": False,
    "0": False,
}


class Explained(NamedTuple):
    """One setting as it stands: `value` as one would write it, `origin` as one would look for it."""

    name: str
    value: Value
    origin: str


@dataclass(frozen=True, slots=True)
class _Found:
    raw: object
    origin: str
    where: str
    """The origin as it stands before a fault: with the setting's name."""
    from_text: bool
    """Whether it comes from a flag or the environment, where everything is text."""


def load(
    cls: type[S],
    *,
    flags: Mapping[str, str] = {},
    environ: Mapping[str, str] = os.environ,
    workspace: Workspace | None = None,
) -> S:
    """Fills a frozen dataclass whose field names are names of `KNOWN`.

    `flags` maps names to texts; leave out what was not given. Every source is checked whole, also for
    settings that `cls` does not use, so that a slip shows at once and everywhere. Raises Invalid, code
    `bad_settings`, with every fault.
    """
    names = _checked_fields(cls)
    values = _resolve(flags, environ, workspace)
    return cls(**{name: values[name][0] for name in names})


def explain(
    *,
    flags: Mapping[str, str] = {},
    environ: Mapping[str, str] = os.environ,
    workspace: Workspace | None = None,
) -> list[Explained]:
    """Every setting with its value and its origin, in the order of `KNOWN`; raises Invalid as `load` does."""
    values = _resolve(flags, environ, workspace)
    return [Explained(name, _as_written(KNOWN[name], value), origin) for name, (value, origin) in values.items()]


def _resolve(
    flags: Mapping[str, str], environ: Mapping[str, str], workspace: Workspace | None
) -> dict[str, tuple[Value, str]]:
    faults: list[FieldFault] = []
    sources = [_from_flags(flags, faults), _from_environment(environ, faults), _from_file(workspace, faults)]
    values: dict[str, tuple[Value, str]] = {}
    for name, setting in KNOWN.items():
        given = [source[name] for source in sources if name in source]
        # The overridden ones are checked too: they are slips that wait for the flag to be left out.
        read = [(_read(setting, found, faults), found.origin) for found in given]
        value, origin = read[0] if read else (setting.default, "default")
        values[name] = (setting.default if value is None else value, origin)
    if not faults:
        faults += [*_out_of_order(values), *_never_reached(values)]
    if faults:
        what = "A setting is" if len(faults) == 1 else f"{len(faults)} settings are"
        raise Invalid(
            "bad_settings",
            f"{what} not right.",
            remedy="quantum config show --origin lists every setting and where it comes from.",
            fields=faults,
        )
    return values


def _from_flags(flags: Mapping[str, str], faults: list[FieldFault]) -> dict[str, _Found]:
    found = {}
    for name, text in flags.items():
        flag = "--" + name.replace("_", "-")
        if name in KNOWN:
            found[name] = _Found(text, f"flag {flag}", flag, True)
        else:
            faults.append(FieldFault(flag, _unknown(name, KNOWN)))
    return found


def _from_environment(environ: Mapping[str, str], faults: list[FieldFault]) -> dict[str, _Found]:
    """An empty variable counts as none; a strange `QUANTUM_…` is a fault only if it is nearly one of ours,
    because others use the name too.
    """
    variables = {_PREFIX + name.upper(): name for name in KNOWN}
    found = {name: _Found(environ[alias], alias, alias, True) for alias, name in ALIASES.items() if environ.get(alias)}
    for variable in sorted(environ):
        if not variable.startswith(_PREFIX) or variable in NOT_SETTINGS or not environ[variable]:
            continue
        if variable in variables:
            found[variables[variable]] = _Found(environ[variable], variable, variable, True)
        elif near := did_you_mean(variable.removeprefix(_PREFIX).lower(), KNOWN, cutoff=_NEARLY_OURS):
            fault = f"there is no such setting; did you mean {_PREFIX}{near.upper()}?"
            faults.append(FieldFault(variable, fault))
    return found


def _from_file(workspace: Workspace | None, faults: list[FieldFault]) -> dict[str, _Found]:
    if workspace is None or not workspace.config_file.exists():
        return {}
    from foundation.settings_file import (
        read_settings_file,
    )  # imports PyYAML: 20 ms, at every start of the CLI

    entries, file_faults = read_settings_file(workspace.config_file)
    faults += file_faults
    found = {}
    for entry in entries:
        where = f"{entry.origin}: {entry.name}"
        if entry.name in KNOWN:
            found[entry.name] = _Found(entry.value, entry.origin, where, False)
        else:
            faults.append(FieldFault(where, _unknown(entry.name, KNOWN)))
    return found


def _unknown(name: str, known: Mapping[str, object]) -> str:
    near = did_you_mean(name, known)
    return "there is no such setting" + (f"; did you mean {near}?" if near else ".")


def _read(setting: Setting, found: _Found, faults: list[FieldFault]) -> Value | None:
    """The value of the right type and within its bounds, or None and one fault more."""
    try:
        value = _from_text(setting, str(found.raw)) if found.from_text else _from_yaml(setting, found.raw)
    except (ValueError, OverflowError, QuantumError):
        faults.append(FieldFault(found.where, f"“{found.raw}” is not {setting.type}."))
        return None
    fault = _out_of_bounds(setting, value)
    if fault:
        faults.append(FieldFault(found.where, fault))
        return None
    return value


def _from_text(setting: Setting, text: str) -> Value:
    match setting.type:
        case Type.INTEGER:
            return int(text)
        case Type.NUMBER:
            return _finite(float(text))
        case Type.SIZE:
            return parse_size(text)
        case Type.FLAG:
            if text.lower() not in _FLAGS:
                raise ValueError
            return _FLAGS[text.lower()]
        case Type.TEXT:
            return text


def _from_yaml(setting: Setting, raw: object) -> Value:
    """A value that YAML has read; a number in quotes is a text and no number. (In Python, True is an int.)"""
    match setting.type, raw:
        case Type.FLAG, bool(flag):
            return flag
        case _, bool():
            raise ValueError
        case Type.INTEGER, int(number):
            return number
        case Type.NUMBER, int(number) | float(number):
            return _finite(float(number))
        case Type.SIZE, int(number):
            return number
        case Type.SIZE, str(text):
            return parse_size(text)
        case Type.TEXT, str(text):
            return text
    raise ValueError


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise ValueError
    return number


def _out_of_bounds(setting: Setting, value: Value) -> str | None:
    if setting.choices and value not in setting.choices:
        return f"“{value}” is none of {', '.join(setting.choices)}."
    if isinstance(value, str):
        return None
    if setting.minimum is not None and value < setting.minimum:
        return f"{_as_written(setting, value)} is less than the least, {_bound(setting, setting.minimum)}."
    if setting.maximum is not None and value > setting.maximum:
        return f"{_as_written(setting, value)} is more than the most, {_bound(setting, setting.maximum)}."
    return None


def _bound(setting: Setting, bound: float) -> str:
    return format_size(int(bound)) if setting.type is Type.SIZE else f"{bound:g}" if bound % 1 else f"{int(bound)}"


def _as_written(setting: Setting, value: Value) -> Value:
    """A size as `2GB` where that says it exactly; everything else as it is."""
    if setting.type is Type.SIZE:
        written = format_size(int(value))
        return written if parse_size(written) == value else f"{value}B"
    return value


def _out_of_order(values: Mapping[str, tuple[Value, str]]) -> list[FieldFault]:
    faults = []
    for smaller, share, larger in ORDERED:
        value, bound = float(values[smaller][0]), share * float(values[larger][0])
        if value > bound:
            of = larger if share == 1 else f"{share:g} × {larger}"
            origins = f"{smaller} from {values[smaller][1]}, {larger} from {values[larger][1]}"
            faults.append(FieldFault(smaller, f"{value:g} is more than {of}, {bound:g} ({origins})."))
    return faults


def _never_reached(values: Mapping[str, tuple[Value, str]]) -> list[FieldFault]:
    """Limits on a burn rate that no failing agent could ever pass, because its objective leaves too much room."""
    faults = []
    for name in BURN_RATES:
        for objective in OBJECTIVES:
            limit, slo = float(values[name][0]), float(values[objective][0])
            fastest = 1 / (1 - slo)
            if limit >= fastest * (1 - 1e-9):
                origins = f"{name} from {values[name][1]}, {objective} from {values[objective][1]}"
                fault = (
                    f"{limit:g} is never passed: with {objective} {slo:g} a budget burns {fastest:.4g} times too fast "
                    f"at most, when everything fails ({origins})."
                )
                faults.append(FieldFault(name, fault))
    return faults


def _checked_fields(cls: type[Any]) -> list[str]:
    """The names of the class's fields; Internal for one that the table does not know or types otherwise."""
    hints = typing.get_type_hints(cls)
    names = [field.name for field in dataclasses.fields(cls)]
    for name in names:
        if name not in KNOWN:
            raise Internal("unknown_setting", f"{cls.__name__}.{name} is not in foundation/known_settings.py.")
        wanted = _PYTHON_TYPES[KNOWN[name].type]
        if hints[name] is not wanted:
            raise Internal("setting_type", f"{cls.__name__}.{name} must be annotated {wanted.__name__}.")
    return names
