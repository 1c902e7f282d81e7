"""The environment that a script gets: a short list, never the runner's own whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

# Nothing else of the service's environment reaches a script unless its manifest names it.
_ALLOWED = ("PATH", "HOME", "USER", "SHELL", "LANG", "TZ", "TMPDIR")
_LOCALE_PREFIX = "LC_"
_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"
_HOOK_DEPTH = "QUANTUM_HOOK_DEPTH"


def base_environment(own: Mapping[str, str]) -> dict[str, str]:
    """What every script gets of the warden's own environment."""
    base = {name: value for name, value in own.items() if name in _ALLOWED or name.startswith(_LOCALE_PREFIX)}
    base.setdefault("PATH", _DEFAULT_PATH)
    # Git hooks that run below a script of ours see that they do, and start no merge check of their own.
    depth = own.get(_HOOK_DEPTH, "")
    base[_HOOK_DEPTH] = str(int(depth) + 1 if depth.isdecimal() and len(depth) < 10 else 1)
    return base


def let_through(own: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """The variables that a manifest's `env` names, as far as they are set. QUANTUM_* cannot be had this
    way."""
    return {name: own[name] for name in names if name in own and not name.startswith("QUANTUM_")}
