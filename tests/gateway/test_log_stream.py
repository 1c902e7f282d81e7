"""A task's output over HTTP: as text, and as events that can be taken up again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from gateway.streams import OutputEvents
from tests.gateway.conftest import BASE, Front
from tests.gateway.stand_in_coordinator import OUTPUT


@dataclass
class Event:
    """One server-sent event."""

    name: str = "message"
    id: str = ""
    data: str = ""


def events(lines: Iterator[bytes]) -> Iterator[Event]:
    """Reads events as the standard says a client does."""
    event, data = Event(), list[str]()
    for block in lines:
        for line in block.decode().split("\n"):
            field, _, value = line.partition(": ")
            match field:
                case "event":
                    event.name = value
                case "id":
                    event.id = value
                case "data" | "data:":
                    data.append(value)
                case "":
                    if data:
                        event.data = "\n".join(data)
                        yield event
                    event, data = Event(), []
                case _:
                    continue


def test_as_text(front: Front) -> None:
    task = front.submit()
    answer = front.get(f"/tasks/{task['id']}/log")
    assert answer.content_type == "text/plain; charset=utf-8"
    assert answer.data == OUTPUT
    assert front.get(f"/tasks/{task['id']}/log?offset=6").data == OUTPUT[6:]
    assert front.get(f"/tasks/{task['id']}/log?offset=-1").status_code == 400


def test_followed_to_the_end(front: Front) -> None:
    task = front.submit()
    front.backstage.end_logs()
    answer = front.get(f"/tasks/{task['id']}/log?follow=1")
    assert answer.content_type.startswith("text/event-stream")
    *pieces, end = events(iter(answer.response))  # type: ignore[arg-type]
    assert "".join(piece.data for piece in pieces) == OUTPUT.decode()
    assert {piece.name for piece in pieces} == {"log"}
    assert (end.name, json.loads(end.data)["task"]["state"]) == ("end", "succeeded")


def test_each_piece_comes_when_it_is_there(front: Front) -> None:
    """The stand-in holds the end back: were the answer buffered, this would never see a piece."""
    task = front.submit()
    answer = front.get(f"/tasks/{task['id']}/log", headers={"Accept": "text/event-stream"})
    stream = events(iter(answer.response))  # type: ignore[arg-type]
    assert next(stream).data == "gr"
    assert next(stream).data == "ün\n"
    answer.close()


def test_taken_up_again_behind_the_last_event(front: Front) -> None:
    task = front.submit()
    front.backstage.end_logs()
    path = f"/tasks/{task['id']}/log?follow=1"
    answer = front.get(path, headers={"Last-Event-ID": "6"})
    pieces = [event for event in events(iter(answer.response)) if event.name == "log"]  # type: ignore[arg-type]
    assert [piece.data for piece in pieces] == ["zwei\n"]
    assert front.world.log_offsets == [6]
    assert front.get(path, headers={"Last-Event-ID": "x"}).status_code == 400


def test_a_piece_never_cuts_a_character() -> None:
    output = OutputEvents()
    text = "aü€😀z".encode()
    ids = []
    whole = ""
    for end in range(1, len(text) + 1):
        for event in events(iter([output.event(text[end - 1 : end], end).encode()])):
            whole += event.data
            ids.append(int(event.id))
    assert whole == "aü€😀z"
    for cut in ids:
        text[:cut].decode()


def test_when_all_streams_are_taken_the_next_is_told_to_wait(front: Front) -> None:
    path = f"/tasks/{front.submit()['id']}/log?follow=1"
    open_streams = [front.get(path) for _ in range(2)]
    refused = front.get(path)
    assert (refused.status_code, refused.get_json()["code"]) == (429, "too_many_streams")
    assert refused.headers["Retry-After"] == "5"
    open_streams[0].close()
    assert front.get(path).status_code == 200


def test_a_refusal_gives_its_place_back(front: Front) -> None:
    for _ in range(5):
        assert front.get("/tasks/nonesuch/log?follow=1").status_code == 404


def test_a_drain_ends_open_streams(front: Front) -> None:
    answer = front.get(f"/tasks/{front.submit()['id']}/log?follow=1")
    stream = events(iter(answer.response))  # type: ignore[arg-type]
    next(stream)
    front.state.drain.begin()
    assert all(event.name == "log" for event in stream)


def test_a_stream_goes_on_over_a_restart_of_the_coordinator(front: Front) -> None:
    answer = front.get(f"/tasks/{front.submit()['id']}/log?follow=1")
    stream = events(iter(answer.response))  # type: ignore[arg-type]
    seen = [next(stream).data for _ in range(3)]
    front.backstage.stop("coordinator")
    front.backstage.end_logs()
    front.backstage.start("coordinator")
    end = next(stream)
    assert "".join(seen) == OUTPUT.decode()
    assert end.name == "end"
    assert front.world.log_offsets == [0, len(OUTPUT)]


@pytest.mark.parametrize("path", ["log", "log?follow=1"])
def test_head_says_the_type_and_takes_no_place(front: Front, path: str) -> None:
    task = front.submit()
    for _ in range(4):
        answer = front.client().head(f"/tasks/{task['id']}/{path}", base_url=BASE, headers=front.headers)
        assert (answer.status_code, answer.data) == (200, b"")
    assert front.client().head("/tasks/none/log", base_url=BASE, headers=front.headers).status_code == 404
