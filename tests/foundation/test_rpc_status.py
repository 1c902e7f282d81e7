"""Every error survives the way to a status and back; what is not ours becomes the nearest of ours."""

from __future__ import annotations

from datetime import timedelta

import grpc
import grpc.aio
import pytest
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]

from foundation.errors import FieldFault, Internal, Invalid, Kind, QuantumError, TimedOut, Unavailable, for_kind
from foundation.rpc.limits import METADATA_BYTES_MAX
from foundation.rpc.status import DETAILS_KEY, code_of, from_rpc_error, from_status, to_status


def failed(code: grpc.StatusCode, details: str, *metadata: tuple[str, str | bytes]) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*metadata), details)


@pytest.mark.parametrize("kind", list(Kind))
def test_each_kind_and_all_it_says_survives_the_way_there_and_back(kind: Kind) -> None:
    error = for_kind(kind)(
        "some_code",
        "Something is – wrong.",
        remedy="Do this.",
        fields=[FieldFault("tasks[2].priority", "is 10; 0 to 9 are allowed"), FieldFault("", "whole")],
        retry_after=timedelta(seconds=1, milliseconds=500),
    )
    back = from_status(to_status(error))

    assert type(back) is type(error)
    assert vars(back) == vars(error)


def test_each_kind_has_a_code_of_its_own() -> None:
    assert len({code_of(kind) for kind in Kind}) == len(Kind)


def test_a_bare_error_has_nothing_that_was_not_said() -> None:
    back = from_status(to_status(Invalid("bad", "Bad.")))
    assert (back.remedy, back.fields, back.retry_after) == ("", (), None)


def test_thousands_of_faults_are_cut_to_what_a_trailer_carries_and_the_cut_is_said() -> None:
    faults = [FieldFault(f"tasks[{number}].agent", "is not known " * 5) for number in range(5_000)]
    status = to_status(Invalid("bad_batch", "x" * 100_000, remedy="y" * 100_000, fields=faults))

    assert len(status.SerializeToString()) * 4 / 3 + 3 * len(status.message) < METADATA_BYTES_MAX
    back = from_status(status)
    shown = len(back.fields) - 1
    assert back.fields[:shown] == tuple(faults[:shown])
    assert back.fields[-1].message == f"… and {5_000 - shown} more."


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, Unavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, TimedOut),
        (grpc.StatusCode.UNKNOWN, Internal),
        (grpc.StatusCode.DATA_LOSS, Internal),
        (grpc.StatusCode.OUT_OF_RANGE, Invalid),
    ],
)
def test_a_status_of_grpc_itself_becomes_the_nearest_error(code: grpc.StatusCode, kind: type[QuantumError]) -> None:
    error = from_rpc_error(failed(code, "failed to connect"))
    assert type(error) is kind
    assert "failed to connect" in error.message


def test_details_that_cannot_be_read_leave_the_code() -> None:
    error = from_rpc_error(failed(grpc.StatusCode.NOT_FOUND, "gone", (DETAILS_KEY, b"\xff\xff\xff")))
    assert error.kind is Kind.NOT_FOUND


def test_a_status_without_our_details_keeps_its_message() -> None:
    error = from_status(Status(code=grpc.StatusCode.NOT_FOUND.value[0], message="no such thing"))
    assert error.kind is Kind.NOT_FOUND
    assert "no such thing" in error.message
