"""How many leases a runner likes to have at hand: as many as its slots use up while new ones are on their way."""

WAY_SECONDS = 0.2
NEWEST_SHARE = 0.1


class Pace:
    """Learns from the attempts that end how long one takes.

    A lease at hand is a task that a more urgent one cannot overtake. So there are many where tasks take milliseconds,
    and none where they take seconds: there the way of a lease is nothing beside the run.
    """

    def __init__(self, slots: int, at_hand_max: int) -> None:
        self._slots = slots
        self._at_hand_max = at_hand_max
        self._typical_seconds = WAY_SECONDS
        self.at_hand = self._wanted()

    def observe(self, seconds: float) -> bool:
        """Learn from one attempt; returns whether `at_hand` has changed by a quarter or more."""
        self._typical_seconds += NEWEST_SHARE * (seconds - self._typical_seconds)
        wanted = self._wanted()
        near = abs(wanted - self.at_hand) * 4 < max(self.at_hand, 1)
        if wanted == self.at_hand or (near and wanted not in (0, self._at_hand_max)):
            return False
        self.at_hand = wanted
        return True

    def stand_still(self) -> None:
        """What is at hand is not begun for seconds: none is, until attempts have been short again for a while."""
        self._typical_seconds = max(self._typical_seconds, self._slots * WAY_SECONDS + 1.0)
        self.at_hand = self._wanted()

    def _wanted(self) -> int:
        return min(self._at_hand_max, int(self._slots * WAY_SECONDS / max(self._typical_seconds, 0.001)))
