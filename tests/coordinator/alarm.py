"""Safety's alerts, as a test hears them."""


class FakeAlarm:
    """Keeps what people would be told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    async def raise_(self, cause: str, *, level: str, sentence: str, remedy: str) -> None:
        self.told.append((cause, f"{level}: {sentence} {remedy}"))

    async def resolve(self, cause: str) -> None:
        self.told.append((cause, ""))
