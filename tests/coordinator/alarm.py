"""Safety's alerts, as a test hears them."""

from services.coordinator.ports_safety import PersonalAlert


class FakeAlarm:
    """Keeps what people would be told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    async def ring(self, alert: PersonalAlert) -> None:
        self.told.append((alert.cause, f"{alert.level}: {alert.sentence}"))

    async def resolve(self, cause: str) -> None:
        self.told.append((cause, ""))
