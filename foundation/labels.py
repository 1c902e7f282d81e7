"""What a runner has that tasks may ask for: what is true of its machine by itself, and what its operator says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from foundation.errors import Invalid

LABELS_MAX = 32
LABEL_LENGTH_MAX = 64
OWN = ("os", "machine", "host", "runner")
"""They say what is so; nobody can say otherwise."""


def labels_of(own: Mapping[str, str], setting: str, given: Iterable[str]) -> dict[str, str]:
    """All labels; those of the command line go before those of the setting. Raises Invalid for what is none."""
    named = dict(_pair(text) for text in (*_split(setting), *given))
    for key in named:
        if key in OWN:
            raise Invalid(
                "label_taken",
                f"The label “{key}” says by itself what is so, and cannot be given.",
                remedy="Choose another key for runner_labels or --label.",
            )
    if len(named) > LABELS_MAX:
        raise Invalid("too_many_labels", f"A runner has at most {LABELS_MAX} labels of its own, not {len(named)}.")
    return {**named, **{key: value for key, value in own.items() if value}}


def text_of(labels: Mapping[str, str]) -> str:
    """Labels as the setting `runner_labels` has them."""
    return ",".join(f"{key}={value}" for key, value in labels.items())


def _split(setting: str) -> list[str]:
    return [part.strip() for part in setting.split(",") if part.strip()]


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = (part.strip() for part in text.partition("="))
    if not (equals and key and value) or max(len(key), len(value)) > LABEL_LENGTH_MAX:
        raise Invalid(
            "bad_label",
            f"“{text[:80]}” is no label: it is written key=value, each of at most {LABEL_LENGTH_MAX} characters.",
        )
    return key, value
