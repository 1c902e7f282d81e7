"""The alerts' verbs, and the teller that brings them to people."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from foundation.errors import NotFound, QuantumError, TimedOut
from foundation.log import Logger
from services.safety.app.draft import Draft
from services.safety.app.state import SafetyState
from services.safety.domain.alert import Alert, AlertRules, Group, Level, Throttle
from services.safety.ports import AlertChannel, AlertMessage

TRIES = 3
FIRST_PAUSE_SECONDS = 1.0
SAY_SECONDS = 30.0
IDLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What became of a message on one channel; `fault` is empty when it went out."""

    channel: str
    fault: str = ""


class Alerts:
    """Raise, list, acknowledge, try the channels; and tell people, at least once, what they are to be told."""

    def __init__(
        self,
        state: SafetyState,
        channels: Sequence[AlertChannel],
        rules: AlertRules,
        *,
        workspace: str,
        logger: Logger,
    ) -> None:
        self._state = state
        self._channels = channels
        self._rules = rules
        self._workspace = workspace
        self._logger = logger
        self._throttles = {channel.config.name: Throttle(per_hour=channel.config.per_hour) for channel in channels}
        self.faults: dict[str, str] = {}
        """Of each channel, why its last message did not go out."""

    async def raise_(self, alert: Alert) -> None:
        """Take an alert in, durably when its cause is new."""
        await self._state.change(lambda draft: draft.alerts.raise_(alert, draft.now))

    async def resolve(self, cause: str) -> None:
        """The cause of an alert is gone; nothing is written when none of it is open."""
        group = self._state.alerts.get(cause)
        if group is not None and group.open:
            await self._state.change(lambda draft: draft.alerts.resolve(cause, draft.now))

    def list(self) -> Sequence[Group]:
        """Every group that is remembered: open ones first, the newest first among each."""
        groups = sorted(self._state.alerts.values(), key=lambda group: group.last_at, reverse=True)
        return sorted(groups, key=lambda group: not group.open)

    def channels(self) -> Sequence[Delivery]:
        """Every channel, with what went wrong with its last message."""
        names = [channel.config.name for channel in self._channels]
        return [Delivery(channel=name, fault=self.faults.get(name, "")) for name in names]

    async def acknowledge(self, cause: str, *, by: str) -> Group:
        """Note that a person looks after a cause: it is not escalated any more. Raises NotFound."""

        def work(draft: Draft) -> Group:
            group = draft.alerts.get(cause)
            if group is None:
                raise NotFound("no_alert", f"There is no alert {cause}.", remedy="`quantum alerts` lists them.")
            after = group.acknowledged(by)
            draft.alerts.put(after)
            return after

        return await self._state.change(work)

    async def test(self, *, by: str) -> Sequence[Delivery]:
        """Send a test message through every channel, past levels and throttles, and say how it went."""
        text = f"This is a test, asked for by {by}. Alerts reach you on this way."
        message = self._message("test", Level.INFO, text)
        return list(await asyncio.gather(*(self._try_once(channel, message) for channel in self._channels)))

    # -- telling

    async def run(self, stop: asyncio.Event) -> None:
        """Tell people until `stop` is set; whatever cannot be written or sent ends neither this nor safety."""
        while not stop.is_set():
            try:
                await self.tell_what_is_due()
            except QuantumError as error:
                self._logger.error(f"What was told of alerts is noted later: {error.message}", action="alerts_unnoted")
            try:
                async with asyncio.timeout(IDLE_SECONDS):
                    await stop.wait()
            except TimeoutError:
                continue

    async def tell_what_is_due(self) -> int:
        """Tell every group that is due; returns how many. A crash in between tells it again, never not at all."""
        now = self._state.clock.now()
        due = [(group, level) for group in self._state.alerts.values() if (level := group.due(self._rules, now))]
        # Each channel for itself: one that hangs keeps nobody else waiting.
        await asyncio.gather(*(self._say_all(channel, self._for(channel, due)) for channel in self._channels))
        if due:
            await self._note(due)
        return len(due)

    async def _note(self, due: Sequence[tuple[Group, Level]]) -> None:
        """Durably; where that cannot be (a full disk), in memory at least, or it would be told every second."""
        try:
            await self._state.change(lambda draft: _note_told(draft, due))
        except QuantumError:
            await self._state.change(lambda draft: _note_told(draft, due, durable=False))

    def _for(self, channel: AlertChannel, due: Sequence[tuple[Group, Level]]) -> Sequence[AlertMessage]:
        """What a channel is to say of it, the most urgent first, as far as its hour lets it."""
        throttle, now = self._throttles[channel.config.name], self._state.clock.now()
        summary = throttle.take_summary(now)
        wanted = [(group, level) for group, level in due if level >= channel.config.level]
        return [
            *([self._message("throttle", Level.WARNING, summary)] if summary else []),
            *(
                self._message(group.cause, level, group.message(level), group)
                for group, level in sorted(wanted, key=lambda told: -told[1])
                if throttle.lets_through(now, level)
            ),
        ]

    async def _say_all(self, channel: AlertChannel, messages: Sequence[AlertMessage]) -> None:
        """One after the other; once one was given up, each of the others is tried once, so that a way that is closed
        does not hold up the next look.
        """
        tries = TRIES
        for message in messages:
            if not await self._say(channel, message, tries):
                tries = 1

    def _message(self, cause: str, level: Level, text: str, group: Group | None = None) -> AlertMessage:
        now = self._state.clock.now()
        return AlertMessage(
            cause=cause,
            level=level,
            text=text,
            count=group.count if group else 1,
            first_at=group.first_at if group else now,
            at=now,
            workspace=self._workspace,
        )

    async def _say(self, channel: AlertChannel, message: AlertMessage, tries: int) -> bool:
        """Whether it went out; what did not is in the log and in `quantum alerts`, and not lost with its way."""
        pause = FIRST_PAUSE_SECONDS
        for attempt in range(1, tries + 1):
            delivery = await self._try_once(channel, message)
            if not delivery.fault:
                return True
            if attempt < tries:
                await asyncio.sleep(pause)
                pause *= 5
        self._logger.error(
            f"An alert did not go out by {channel.config.name}: {delivery.fault} It says: {message.text}",
            action="alert_undelivered",
            channel=channel.config.name,
            cause=message.cause,
        )
        return False

    async def _try_once(self, channel: AlertChannel, message: AlertMessage) -> Delivery:
        name = channel.config.name
        try:
            async with asyncio.timeout(SAY_SECONDS):
                await asyncio.to_thread(channel.say, message)
        except TimeoutError:
            fault = TimedOut("channel_timeout", f"{name} took longer than {SAY_SECONDS:.0f} s.").message
        except (QuantumError, OSError) as error:
            fault = str(error)
        except Exception as error:  # noqa: BLE001 - a way that is broken must not end safety
            # Its kind alone: the text may hold the channel's secret.
            fault = f"{name} failed unexpectedly ({type(error).__name__})."
        else:
            self.faults.pop(name, None)
            return Delivery(channel=name)
        self.faults[name] = fault
        return Delivery(channel=name, fault=fault)


def _note_told(draft: Draft, told: Sequence[tuple[Group, Level]], *, durable: bool = True) -> None:
    for group, level in told:
        current = draft.alerts.get(group.cause)
        if current is not None and current.first_at == group.first_at:
            draft.alerts.put(current.told(level, group.count, draft.now), durable=durable)
