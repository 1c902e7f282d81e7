"""The warden's end of the socket pair: it never blocks, however long the runner does not read."""

from __future__ import annotations

import selectors
import socket
from collections import deque

from services.agent_runner.warden.protocol import Decoder, Message, encode

_READ_BYTES = 1 << 16


class Link:
    """Messages in and out; `up` is false once the runner has gone."""

    def __init__(self, end: socket.socket, selector: selectors.BaseSelector) -> None:
        end.setblocking(False)
        self._end = end
        self._selector = selector
        self._decoder = Decoder()
        self._outgoing: deque[memoryview] = deque()
        self._events = selectors.EVENT_READ
        self.up = True
        selector.register(end, self._events)

    @property
    def drained(self) -> bool:
        """Whether all that was said has left this process."""
        return not self._outgoing

    def receive(self) -> list[Message]:
        """What has arrived; sets `up` to false at the end of the stream. Raises ValueError for a bad
        frame."""
        try:
            data = self._end.recv(_READ_BYTES)
        except BlockingIOError:
            return []
        except ConnectionError:
            data = b""
        if not data:
            self._lose()
            return []
        return self._decoder.feed(data)

    def send(self, messages: list[Message]) -> None:
        """Send the messages in one frame, as far as the socket takes it; the rest goes when there is room."""
        if not self.up:
            return
        if messages:
            self._outgoing.append(memoryview(encode(messages)))
        if self._outgoing:
            self._flush()

    def _flush(self) -> None:
        while self._outgoing:
            frame = self._outgoing[0]
            try:
                sent = self._end.send(frame)
            except BlockingIOError:
                break
            except ConnectionError:
                self._lose()
                return
            if sent == len(frame):
                self._outgoing.popleft()
            else:
                self._outgoing[0] = frame[sent:]
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._outgoing else 0)
        if events != self._events:
            self._events = events
            self._selector.modify(self._end, events)

    def _lose(self) -> None:
        self._selector.unregister(self._end)
        self._end.close()
        self._outgoing.clear()
        self.up = False
