#!/usr/bin/env python3
# /// script
# [tool.quantum]
# description = "Builds a project with its own build tool, whichever of seven that is"
# effects = "idempotent"
# timeout = "1h"
# ///
"""Looks at what lies in the project's folder, says which build it chose and why, and runs it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from kit.attempt import give_up, given, pass_through, publish, say

CONFIGURATIONS = ("release", "debug")
_MAKE_TARGET = re.compile(r"^build\s*:(?!=)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True, slots=True)
class Params:
    """`configuration`: release or debug. `tool`: one of those found, when the first is not the one wanted."""

    configuration: str = "debug"
    tool: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Build:
    """One way to build the project: the commands in order, and the evidence for it."""

    tool: str
    because: str
    steps: tuple[tuple[str, ...], ...]
    environment: Mapping[str, str] = field(default_factory=dict)


def builds(folder: Path, configuration: str) -> list[Build]:
    """Return every way to build `folder`, the most specific first."""
    ways = (_make, _cargo, _swift, _xcode, _gradle, _npm, _python)
    return [build for way in ways if (build := way(folder, configuration)) is not None]


def _make(folder: Path, configuration: str) -> Build | None:
    for name in ("GNUmakefile", "makefile", "Makefile"):
        path = folder / name
        if path.is_file() and _MAKE_TARGET.search(path.read_text(encoding="utf-8", errors="replace")):
            step = ("make", "build", f"CONFIGURATION={configuration}")
            return Build(tool="make", because=f"{name} has a target build", steps=(step,))
    return None


def _cargo(folder: Path, configuration: str) -> Build | None:
    if not (folder / "Cargo.toml").is_file():
        return None
    flags = ("--release",) if configuration == "release" else ()
    return Build(tool="cargo", because="Cargo.toml is here", steps=(("cargo", "build", *flags),))


def _swift(folder: Path, configuration: str) -> Build | None:
    if not (folder / "Package.swift").is_file():
        return None
    step = ("swift", "build", "--configuration", configuration)
    return Build(tool="swift", because="Package.swift is here", steps=(step,))


def _xcode(folder: Path, configuration: str) -> Build | None:
    projects = sorted(folder.glob("*.xcodeproj"))
    if not projects:
        return None
    step = ("xcodebuild", "-project", projects[0].name, "-configuration", configuration.capitalize(), "build")
    return Build(tool="xcodebuild", because=f"{projects[0].name} is here", steps=(step,))


def _gradle(folder: Path, configuration: str) -> Build | None:
    script = next((name for name in ("build.gradle.kts", "build.gradle") if (folder / name).is_file()), None)
    if script is None:
        return None
    program = "./gradlew" if (folder / "gradlew").is_file() else "gradle"
    step = (program, "assemble", f"-Pconfiguration={configuration}")
    return Build(tool="gradle", because=f"{script} is here", steps=(step,))


def _npm(folder: Path, configuration: str) -> Build | None:
    path = folder / "package.json"
    if not path.is_file():
        return None
    try:
        package = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        give_up(f"package.json cannot be read: {error}.")
    scripts = package.get("scripts", {}) if isinstance(package, dict) else {}
    if "build" not in scripts:
        return None
    locked = (folder / "package-lock.json").is_file() and not (folder / "node_modules").is_dir()
    install = (("npm", "ci"),) if locked else ()
    return Build(
        tool="npm",
        because="package.json has a script build",
        steps=(*install, ("npm", "run", "build")),
        environment={"NODE_ENV": "production" if configuration == "release" else "development"},
    )


def _python(folder: Path, configuration: str) -> Build | None:
    # A wheel has no debug form: `configuration` changes nothing here.
    path = folder / "pyproject.toml"
    if not path.is_file() or "[build-system]" not in path.read_text(encoding="utf-8", errors="replace"):
        return None
    own = folder / ".venv" / "bin" / "python"
    python = str(own) if own.is_file() else "python3"
    step = (
        python,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "wheel",
        "--no-deps",
        "--wheel-dir",
        "dist",
        ".",
    )
    return Build(tool="pyproject", because="pyproject.toml names a build system", steps=(step,))


def main() -> int:
    """Choose, build, publish, and end with the exit code of the first step that failed."""
    params = given(Params)
    if params.configuration not in CONFIGURATIONS:
        give_up(f"There is no configuration {params.configuration!r}; there is {' and '.join(CONFIGURATIONS)}.")
    found = builds(Path.cwd(), params.configuration)
    wanted = [build for build in found if params.tool in ("", build.tool)]
    if not wanted:
        others = ", ".join(build.tool for build in found) or "none"
        give_up(
            f"{Path.cwd()} shows no {params.tool or 'build that I know'} (found: {others}). I know a make "
            "target build, Cargo.toml, Package.swift, *.xcodeproj, build.gradle, an npm script build, "
            "and pyproject.toml."
        )
    build = wanted[0]
    others = ", ".join(other.tool for other in found if other is not build)
    say(f"Building with {build.tool}: {build.because}{f' (also here: {others})' if others else ''}")
    code = 0
    for step in build.steps:
        say(f"$ {shlex.join(step)}")
        code = pass_through(step, build.environment)
        if code != 0:
            break
    verdict = "built" if code == 0 else f"failed with exit code {code}"
    publish(
        "build",
        f"{build.tool} ({params.configuration}): {verdict}",
        {
            "tool": build.tool,
            "because": build.because,
            "configuration": params.configuration,
            "steps": [list(step) for step in build.steps],
            "exit_code": code,
        },
    )
    return code


if __name__ == "__main__":
    raise SystemExit(main())
