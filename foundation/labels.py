"""Labels as people write them: `k=v`."""

from __future__ import annotations

from collections.abc import Mapping

from foundation.errors import Invalid

LABELS_MAX = 32
LABEL_LENGTH_MAX = 64


def labels_in(text: str) -> dict[str, str]:
    """The labels of a text like `gpu=yes,site=attic`. Raises Invalid for a part that is none."""
    labels = {}
    for part in text.split(","):
        if not part.strip():
            continue
        key, equals, value = (word.strip() for word in part.partition("="))
        if not equals or not key or not value or len(key) > LABEL_LENGTH_MAX or len(value) > LABEL_LENGTH_MAX:
            raise Invalid("bad_label", f"“{part.strip()[:80]}” is no label.", remedy="Write it like gpu=yes.")
        labels[key] = value
    if len(labels) > LABELS_MAX:
        raise Invalid("too_many_labels", f"There are {len(labels)} labels; at most {LABELS_MAX} are taken.")
    return labels


def text_of(labels: Mapping[str, str]) -> str:
    """Labels as one text, as `labels_in` reads it."""
    return ",".join(f"{key}={value}" for key, value in labels.items())
