"""Starts a merge check: its row and its task in one commit, unless what came is being checked or has been."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from foundation.clock import Clock
from foundation.disk import REMEDY
from foundation.errors import FieldFault, Invalid, NotFound, Unavailable
from foundation.ids import Ids
from services.coordinator.app import merges_facts as facts
from services.coordinator.app.changes import Changes
from services.coordinator.app.merges_freedom import MergeFreedom, SafetySays, require_guarded
from services.coordinator.app.merges_task import CheckTasks
from services.coordinator.app.to_the_end import undisturbed
from services.coordinator.domain.merge_check import Event, MergeCheck, is_commit, known_among
from services.coordinator.domain.merge_freedom import NO_CHECKS
from services.coordinator.domain.task import Task
from services.coordinator.ports import Store, StoreTransaction
from services.coordinator.ports_merges import MergeSafety, Repositories

ABOUT_MAX = 1_000
TOPIC_MAX = 500
RETRY_AFTER = timedelta(seconds=30)
_ONLY_REPORT = {Event.POST_REWRITE: "A rewrite of what was there is only reported."}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A check as asked for; `old` and `new` are hints, or empty. `folder`: any folder of the work tree."""

    repository: str
    folder: str
    event: Event
    old: str = ""
    new: str = ""
    topic: str = ""
    background: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """The check; `known`: it was there already."""

    check: MergeCheck
    known: bool


class StartCheck:
    """What the caller says of commits is a hint: the attempt reads them again from the repository."""

    def __init__(
        self,
        store: Store,
        repositories: Repositories,
        safety: MergeSafety,
        freedom: MergeFreedom,
        tasks: CheckTasks,
        changes: Changes,
        disk_short: Callable[[], str],
        *,
        ids: Ids,
        clock: Clock,
    ) -> None:
        self._store = store
        self._repositories = repositories
        self._safety = safety
        self._freedom = freedom
        self._tasks = tasks
        self._changes = changes
        self._disk_short = disk_short
        self._ids = ids
        self._clock = clock

    async def __call__(self, asked: Asked, caller: str) -> Started:
        """The check, durable with its task.

        Raises NotFound for an unknown repository or one that stands elsewhere; Unavailable in a mode in which nothing
        starts, on a short disk, and without git or the built-in agent; Invalid for a request without a topic; Conflict
        for one while merges are not free.
        """
        is_request = asked.event is Event.REQUEST
        if is_request:
            _require_topic(asked.topic)
        repository = await require_guarded(self._repositories, asked.repository)
        folder = Path(asked.folder) if asked.folder else repository.folder
        tree = await self._repositories.look(folder, repository)
        if tree.common_dir != repository.common_dir:
            raise NotFound(
                "repository_elsewhere",
                f"{folder} is not repository {repository.id}, which stands at {repository.folder}.",
                remedy="`quantum hooks install` guards it where it stands now.",
            )
        await self._require_mode()
        self._require_room()
        said = await self._freedom.ask(repository) if is_request else None
        new = asked.new if is_commit(asked.new) else ""
        check = MergeCheck(
            id=self._ids.new(),
            repository=repository.id,
            folder=str(folder),
            project=repository.project,
            event=asked.event,
            branch=tree.branch,
            old=asked.old if is_commit(asked.old) else "",
            new=new if is_request else new or tree.head,
            topic=asked.topic,
            background=asked.background,
            task_id=self._ids.new(),
            only_report=_ONLY_REPORT.get(asked.event, ""),
            created_at=self._clock.now(),
        )
        return await undisturbed(self._start(check, hinted=new, said=said, caller=caller))

    async def _start(self, check: MergeCheck, *, hinted: str, said: SafetySays | None, caller: str) -> Started:
        started, task = await self._store.write(lambda tx: self._add(tx, check, hinted, said, caller))
        if task is not None:
            self._changes.announce([task])
        return started

    def _add(
        self, tx: StoreTransaction, check: MergeCheck, hinted: str, said: SafetySays | None, caller: str
    ) -> tuple[Started, Task | None]:
        now = check.created_at
        about = tx.checks_about(check.repository, check.new, limit=ABOUT_MAX)
        known = known_among(about, event=check.event, folder=check.folder, new=check.new, topic=check.topic, now=now)
        if known is not None:
            return Started(known, known=True), None
        if said is not None:
            self._freedom.admit(tx, check.repository, said)
        # The agent is told what a hook has seen, not what has been read here since.
        task = self._tasks.of(replace(check, new=hinted), facts.flaky(tx, check.repository), caller, now=now)
        tx.insert([task])
        tx.insert_check(check)
        return Started(check, known=False), task

    async def _require_mode(self) -> None:
        mode = await self._safety.mode()
        if mode in NO_CHECKS:
            raise Unavailable(
                "mode",
                f"The mode is {mode}: nothing new starts, so that nothing is checked now.",
                remedy="`quantum resume` goes back to NORMAL; what came meanwhile is looked at then.",
                retry_after=RETRY_AFTER,
            )

    def _require_room(self) -> None:
        """Whoever asks is told at once; what came is written down by the hook, and looked at when there is room."""
        if why := self._disk_short():
            said = f"Nothing is checked now: {why}."
            raise Unavailable("disk_low", said, remedy=REMEDY, retry_after=RETRY_AFTER)


def _require_topic(topic: str) -> None:
    said = ""
    if not topic:
        said = "A merge needs a branch or a commit that is to be merged."
    elif len(topic) > TOPIC_MAX or topic.startswith("-") or not topic.isprintable():
        said = "This cannot be the name of a branch or a commit."
    if said:
        raise Invalid("bad_topic", said, fields=(FieldFault("topic", said),))
