"""A spend ledger with room for one call of two dollars."""

from __future__ import annotations

from foundation.auth import current_caller
from foundation.errors import Conflict, Exhausted, NotFound
from protos.safety.v1 import admission_pb2, spend_pb2, spend_pb2_grpc
from tests.gateway.stand_in_coordinator import Context, World

CALL_MICROS = 2_000_000
CAP = spend_pb2.SpendCap(scope="fleet", per="day", micros=CALL_MICROS, origin="config")


class Spend(spend_pb2_grpc.SpendServiceServicer):
    """Reservations live in `world.reservations`, by key."""

    def __init__(self, world: World) -> None:
        self.world = world

    def _find(self, key: str) -> spend_pb2.Reservation:
        if key not in self.world.reservations:
            raise NotFound("no_reservation", f"There is no reservation {key}.")
        return self.world.reservations[key]

    async def ReserveSpend(
        self, request: spend_pb2.ReserveSpendRequest, context: Context
    ) -> spend_pb2.ReserveSpendResponse:
        """One fits, and the same one again."""
        known = self.world.reservations.get(request.key)
        if known is not None and known.model != request.model:
            raise Conflict("key_reused", "That key was used for another call.")
        if known is None and self.world.reservations:
            raise Exhausted("spend_cap", "The spend cap is reached.")
        made = known or spend_pb2.Reservation(
            attempt=admission_pb2.AttemptKey(task_id=current_caller().token_id.lower(), fence=7),
            key=request.key,
            agent="writer",
            provider=request.provider,
            model=request.model,
            input_tokens=request.input_tokens,
            output_tokens=request.output_tokens,
            reserved_micros=CALL_MICROS,
            stage=spend_pb2.RESERVATION_STAGE_HELD,
        )
        self.world.reservations[request.key] = made
        return spend_pb2.ReserveSpendResponse(reservation=made)

    async def ExtendSpend(
        self, request: spend_pb2.ExtendSpendRequest, context: Context
    ) -> spend_pb2.ExtendSpendResponse:
        """More tokens."""
        found = self._find(request.key)
        found.output_tokens = request.output_tokens
        return spend_pb2.ExtendSpendResponse(reservation=found)

    async def SettleSpend(
        self, request: spend_pb2.SettleSpendRequest, context: Context
    ) -> spend_pb2.SettleSpendResponse:
        """A token used costs a millionth."""
        found = self._find(request.key)
        used = request.used.input_tokens + request.used.output_tokens
        found.actual_micros = request.micros if request.WhichOneof("actual") == "micros" else used
        found.stage = spend_pb2.RESERVATION_STAGE_SETTLED
        return spend_pb2.SettleSpendResponse(reservation=found)

    async def ReleaseSpend(
        self, request: spend_pb2.ReleaseSpendRequest, context: Context
    ) -> spend_pb2.ReleaseSpendResponse:
        """Not made."""
        found = self._find(request.key)
        found.stage = spend_pb2.RESERVATION_STAGE_RELEASED
        return spend_pb2.ReleaseSpendResponse(reservation=found)

    async def CorrectSpend(
        self, request: spend_pb2.CorrectSpendRequest, context: Context
    ) -> spend_pb2.CorrectSpendResponse:
        """Put right."""
        found = self._find(request.key)
        found.actual_micros, found.stage = request.micros, spend_pb2.RESERVATION_STAGE_SETTLED
        return spend_pb2.CorrectSpendResponse(reservation=found)

    async def GetSpend(self, request: spend_pb2.GetSpendRequest, context: Context) -> spend_pb2.GetSpendResponse:
        """One account with a cap, one without."""
        account = spend_pb2.SpendAccount(
            scope="fleet", per="day", window="2026-11-23", spent_micros=500_000, reserved_micros=1, cap=CAP
        )
        unbounded = spend_pb2.SpendAccount(scope="fleet", per="total", spent_micros=500_000)
        paused = spend_pb2.PausedAttempt(
            attempt=admission_pb2.AttemptKey(task_id="t", fence=7), agent="writer", reason="the cap is reached"
        )
        return spend_pb2.GetSpendResponse(
            accounts=[account, unbounded], open=list(self.world.reservations.values()), paused=[paused]
        )

    async def ListPrices(self, request: spend_pb2.ListPricesRequest, context: Context) -> spend_pb2.ListPricesResponse:
        """One price."""
        price = spend_pb2.Price(provider="acme", model="words", valid_from="2026-01-01", output_micros=CALL_MICROS)
        return spend_pb2.ListPricesResponse(prices=[price])

    async def SetSpendCap(
        self, request: spend_pb2.SetSpendCapRequest, context: Context
    ) -> spend_pb2.SetSpendCapResponse:
        """What was asked for, or the configuration's."""
        if request.clear:
            return spend_pb2.SetSpendCapResponse(cap=CAP)
        if not request.HasField("micros"):
            return spend_pb2.SetSpendCapResponse()
        cap = spend_pb2.SpendCap(
            scope=request.scope, per=request.per, micros=request.micros, origin="set", actor="user"
        )
        return spend_pb2.SetSpendCapResponse(cap=cap)
