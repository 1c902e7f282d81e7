"""Server-sent events: their form, and how many streams may be open at once."""

from __future__ import annotations

import codecs
import json
import threading
from datetime import timedelta

from foundation.errors import Exhausted

MEDIA_TYPE = "text/event-stream"
COME_BACK = "retry: 1000\n\n"
"""Tells the client to come back 1 s after a break."""
SIGN_OF_LIFE = ": still here\n\n"


class StreamSlots:
    """Keeps streams from taking every thread."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._free = threading.Semaphore(size)

    def take(self) -> None:
        """Takes one; raises Exhausted, code `too_many_streams`, when none is free. Each is to be given back once."""
        if not self._free.acquire(blocking=False):
            raise Exhausted(
                "too_many_streams",
                f"{self._size} streams are open already, which is as many as there may be.",
                remedy="Close one, or raise gateway_threads.",
                retry_after=timedelta(seconds=5),
            )

    def give_back(self) -> None:
        """Gives one back."""
        self._free.release()


class OutputEvents:
    """Turns pieces of output, cut anywhere, into events that hold whole characters."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def event(self, data: bytes, offset: int) -> str:
        """The event for a piece that ends at `offset`; empty when it holds no whole character.

        Its id is the offset at which to go on: before a character of which only a part has come.
        """
        text = self._decoder.decode(data)
        held_back = len(self._decoder.getstate()[0])
        return _event("log", text, id=offset - held_back) if text else ""

    def rest(self, offset: int) -> str:
        """The event for what was held back at the end, usually empty."""
        text = self._decoder.decode(b"", final=True)
        return _event("log", text, id=offset) if text else ""


def json_event(name: str, value: object) -> str:
    """An event that holds one JSON document."""
    return _event(name, json.dumps(value, ensure_ascii=False))


def _event(name: str, text: str, *, id: int | None = None) -> str:
    """One event; its lines joined by newlines are the text again. A carriage return counts as a newline."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    head = f"event: {name}\n" + ("" if id is None else f"id: {id}\n")
    return head + "".join(f"data: {line}\n" for line in lines) + "\n"
