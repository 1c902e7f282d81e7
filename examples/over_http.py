"""Speaks to the gateway as any HTTP client would: a token in a header, JSON documents, server-sent events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

TIMEOUT_SECONDS = 30


class Gateway:
    """One gateway and one token. A refusal is returned, not raised: its body is a problem document."""

    def __init__(self, address: str, token: str) -> None:
        self._address = address
        self._token = token

    def get(self, path: str) -> tuple[int, dict[str, Any]]:
        """Return status and document of a GET."""
        return self._send(Request(self._address + path))

    def post(self, path: str, document: object) -> tuple[int, dict[str, Any]]:
        """Return status and document of a POST."""
        body = json.dumps(document).encode()
        return self._send(Request(self._address + path, data=body, headers={"Content-Type": "application/json"}))

    def log_lines(self, task_id: str) -> Iterator[str]:
        """Yield the lines that a task prints, as it prints them, until it has ended."""
        request = Request(f"{self._address}/tasks/{task_id}/log?follow=1")
        request.add_header("Accept", "text/event-stream")
        request.add_header("X-Auth-Token", self._token)
        kept = ""
        with urlopen(request, timeout=TIMEOUT_SECONDS) as stream:
            for name, data in _events(line.decode().rstrip("\r\n") for line in stream):
                if name == "log":
                    *whole, kept = (kept + data).split("\n")
                    yield from whole
                elif name == "end":
                    break
        if kept:
            yield kept

    def _send(self, request: Request) -> tuple[int, dict[str, Any]]:
        request.add_header("X-Auth-Token", self._token)
        try:
            with urlopen(request, timeout=TIMEOUT_SECONDS) as answer:
                return answer.status, json.load(answer)
        except HTTPError as refusal:
            with refusal:
                return refusal.code, json.load(refusal)


def _events(lines: Iterator[str]) -> Iterator[tuple[str, str]]:
    """Yield (name, data) of each server-sent event."""
    name, data = "message", list[str]()
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield name, "\n".join(data)
            name, data = "message", []
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)
