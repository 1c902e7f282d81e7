"""Takes no new tasks while the disk is short, so that what runs can still end; people are told once."""

from datetime import timedelta

from foundation.disk import REMEDY, Disk, DiskRoom, Reserve
from foundation.errors import Exhausted, QuantumError
from foundation.log import get_logger
from services.coordinator.ports_safety import AlertBell, PersonalAlert

CAUSE = "disk_low"
RETRY_AFTER = timedelta(seconds=30)

_log = get_logger("coordinator")


class DiskGuard:
    """The disk of the database, looked at once a second. It refuses submits, and nothing that ends a task."""

    def __init__(self, disk: Disk, least: int, reserve: Reserve, bell: AlertBell) -> None:
        self._disk = disk
        self._reserve = reserve
        self._bell = bell
        self._told: bool | None = None  # what people know; None: what an earlier coordinator told them
        self.room = DiskRoom(least)

    def refuse_when_short(self) -> None:
        """Called by whoever is about to add tasks. Raises Exhausted, code `disk_low`."""
        if self.room.short:
            said = f"No task is taken: {self.room.sentence}. What runs goes on, and its results are kept."
            raise Exhausted(CAUSE, said, remedy=REMEDY, retry_after=RETRY_AFTER)

    async def step(self) -> None:
        """Look, hold the reserve or let it go, and tell people what has changed."""
        try:
            before, self.room = self.room, self.room.observe(self._disk.free_bytes())
        except OSError as error:
            _log.warning(f"The disk cannot be looked at: {error.strerror}.", action="disk_unseen")
            return
        self._reserve.keep(self.room)
        if self.room.short and not before.short:
            _log.warning(f"No task is taken: {self.room.sentence}.", action="disk_low", free=self.room.free)
        elif before.short and not self.room.short:
            _log.info("The disk has room again: tasks are taken.", action="disk_has_room", free=self.room.free)
        if self._told is not self.room.short:
            await self._tell()

    async def _tell(self) -> None:
        """While safety cannot be asked, or has no room to write it down, it is told at the next look."""
        try:
            if self.room.short:
                said = f"No task is taken or started: {self.room.sentence}."
                await self._bell.ring(PersonalAlert(cause=CAUSE, level="critical", sentence=said, remedy=REMEDY))
            else:
                await self._bell.resolve(CAUSE)
        except QuantumError:
            return
        self._told = self.room.short
