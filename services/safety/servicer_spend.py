"""The spend ledger on the wire: decode, delegate, encode."""

from __future__ import annotations

from foundation.auth import current_caller
from foundation.tokens import mask
from protos.safety.v1 import spend_pb2, spend_pb2_grpc
from services.safety.app.spend import Spend
from services.safety.app.spend_overview import SpendOverview
from services.safety.convert import key_in
from services.safety.convert_spend import actual_in, cap_out, price_out, reservation_out, spend_out, tokens_in
from services.safety.servicer import Context


class SpendServicer(spend_pb2_grpc.SpendServiceServicer):
    """Attempts come with their own credential, and are known by it alone."""

    def __init__(self, spend: Spend, overview: SpendOverview) -> None:
        self._spend = spend
        self._overview = overview

    async def ReserveSpend(
        self, request: spend_pb2.ReserveSpendRequest, context: Context
    ) -> spend_pb2.ReserveSpendResponse:
        """Promise money to a call."""
        input_tokens, output_tokens = tokens_in(request)
        made = await self._spend.reserve(
            current_caller().token_id,
            request.key,
            request.provider,
            request.model,
            input_tokens=input_tokens,
            output_tokens=output_tokens,
        )
        return spend_pb2.ReserveSpendResponse(reservation=reservation_out(made))

    async def ExtendSpend(
        self, request: spend_pb2.ExtendSpendRequest, context: Context
    ) -> spend_pb2.ExtendSpendResponse:
        """Promise more to it."""
        input_tokens, output_tokens = tokens_in(request)
        grown = await self._spend.extend(
            current_caller().token_id, request.key, input_tokens=input_tokens, output_tokens=output_tokens
        )
        return spend_pb2.ExtendSpendResponse(reservation=reservation_out(grown))

    async def SettleSpend(
        self, request: spend_pb2.SettleSpendRequest, context: Context
    ) -> spend_pb2.SettleSpendResponse:
        """Book what it has cost."""
        settled = await self._spend.settle(current_caller().token_id, request.key, actual_in(request))
        return spend_pb2.SettleSpendResponse(reservation=reservation_out(settled))

    async def ReleaseSpend(
        self, request: spend_pb2.ReleaseSpendRequest, context: Context
    ) -> spend_pb2.ReleaseSpendResponse:
        """Give a promise back."""
        released = await self._spend.release(current_caller().token_id, request.key)
        return spend_pb2.ReleaseSpendResponse(reservation=reservation_out(released))

    async def CorrectSpend(
        self, request: spend_pb2.CorrectSpendRequest, context: Context
    ) -> spend_pb2.CorrectSpendResponse:
        """Settle what an attempt left behind."""
        corrected = await self._spend.correct(
            key_in(request.attempt), request.key, request.micros, reason=mask(request.reason)
        )
        return spend_pb2.CorrectSpendResponse(reservation=reservation_out(corrected))

    async def GetSpend(self, request: spend_pb2.GetSpendRequest, context: Context) -> spend_pb2.GetSpendResponse:
        """Show the ledger."""
        return spend_out(self._overview.get())

    async def ListPrices(self, request: spend_pb2.ListPricesRequest, context: Context) -> spend_pb2.ListPricesResponse:
        """List the prices."""
        prices, fault = self._overview.prices()
        return spend_pb2.ListPricesResponse(prices=map(price_out, prices), fault=fault)

    async def SetSpendCap(
        self, request: spend_pb2.SetSpendCapRequest, context: Context
    ) -> spend_pb2.SetSpendCapResponse:
        """Set a cap or clear it."""
        cap = await self._spend.set_cap(
            request.scope,
            request.per,
            request.micros if request.HasField("micros") else None,
            clear=request.clear,
            actor=current_caller().name,
            reason=mask(request.reason),
        )
        return spend_pb2.SetSpendCapResponse(cap=cap_out(cap))
