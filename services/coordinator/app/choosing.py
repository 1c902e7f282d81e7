"""Choosing: which ready tasks are asked about next, so that only those are taken for which a runner has a place."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from services.coordinator.app.attachments import Attachments
from services.coordinator.app.holdings import Holdings
from services.coordinator.app.holds import Holds
from services.coordinator.app.rooms import Plan, Rooms
from services.coordinator.domain.agent import AgentSpec
from services.coordinator.domain.placement import Need
from services.coordinator.domain.ready import (
    ReadyBoard,
    ReadyEntry,
    agent_of_lane,
    entry_of,
    labels_of_lane,
    lane_name,
    lane_of,
)
from services.coordinator.domain.task import Task, TaskState
from services.coordinator.ports import Catalogue, Store, StoreTransaction

BATCH_MAX = 200
NO_LIMIT = 1_000_000
KNOWN_MAX = 4096
LABELS_PAGE = 1_000


class Choosing:
    """The ready board, the runners' rooms and the agents' own limits, asked as one.

    Only lanes whose labels an attached runner has stand on the board. All others wait in the store, where they cost
    nothing however many they are, until a runner comes that has them.
    """

    def __init__(
        self,
        store: Store,
        catalogue: Catalogue,
        attachments: Attachments,
        holdings: Holdings,
        rooms: Rooms,
        holds: Holds,
        board: ReadyBoard,
    ) -> None:
        self._store = store
        self._catalogue = catalogue
        self._attachments = attachments
        self._holdings = holdings
        self._rooms = rooms
        self._holds = holds
        self._board = board
        self._known: dict[str, Task] = {}
        # The runners and the manifests that the board was made for.
        self._seen: tuple[int, Mapping[str, AgentSpec]] = (-1, {})
        self._unplaced: set[str] = set()  # lanes of what became ready while the board was not made for those of now

    # -- what becomes ready

    def hear(self, task: Task) -> None:
        """A commit has changed a task."""
        name = lane_of(task)
        if task.ready:
            self._offer(name, task)
        elif (lane := self._board.lanes.get(name)) is not None:
            lane.drop(task.id)
            self._known.pop(task.id, None)

    def _offer(self, name: str, task: Task) -> None:
        if name not in self._board.lanes:
            if not self.follows:
                self._unplaced.add(name)
                return
            if not self.reachable(name):
                return  # the store has it
            self._board.add_empty(name)
        self._board.lane(name).offer(entry_of(task))
        if len(self._known) < KNOWN_MAX:
            self._known[task.id] = task

    @property
    def follows(self) -> bool:
        """Whether the board is made for the runners and the manifests of now: a lane that is missing has nothing."""
        changes, agents = self._seen
        return changes == self._attachments.changes and agents is self._catalogue.agents()

    def reachable(self, lane: str) -> bool:
        """Whether an attached runner has what the tasks of a lane ask for; what asks for nothing always is."""
        spec = self._catalogue.agents().get(agent_of_lane(lane))
        if " " not in lane and (spec is None or not spec.labels):
            return True
        wanted = {**(spec.labels if spec is not None else {}), **labels_of_lane(lane)}
        return any(_has(attachment.hello.labels, wanted) for attachment in self._attachments.all())

    async def refill(self) -> None:
        """Bring what the store has onto the board, where that runs low or where other runners came or went."""
        await self._follow_the_fleet()
        for name, lane in self._board.hungry():
            if self.allowed(agent_of_lane(name)) == 0:
                continue
            after, limit = lane.begin_refill()
            found: Sequence[ReadyEntry] = ()
            complete = False
            try:
                found = await self._store.read(partial(_ready, lane=name, after=after, limit=limit))
                complete = len(found) < limit
            finally:
                lane.end_refill(found, complete=complete)

    async def _follow_the_fleet(self) -> None:
        """Lanes that no runner can have leave the board; those that one can have by now come back to it."""
        if self.follows:
            return
        seen = (self._attachments.changes, self._catalogue.agents())
        self._unplaced.clear()
        self._board.leave(lambda name: not self.reachable(name))
        counts = await self._store.read(lambda tx: tx.counts())
        for agent in [agent for (agent, state), number in counts.items() if state is TaskState.QUEUED and number]:
            self._bring([agent])
            after = ""
            while page := await self._store.read(partial(_labels, agent=agent, after=after)):
                after = page[-1]
                self._bring(lane_name(agent, labels) for labels in page)
        # What was committed during these reads may be in none of them.
        self._bring(self._unplaced)
        self._seen = seen

    def _bring(self, lanes: Iterable[str]) -> None:
        """Lanes of which the store may have something."""
        for name in lanes:
            if self.reachable(name):
                self._board.lane(name)

    # -- taking

    def allowed(self, agent: str) -> int:
        """How many more attempts an agent may have, whatever room there is."""
        if self._holds.holds(agent):
            return 0
        spec = self._catalogue.agents().get(agent)
        if spec is None or not spec.script:
            return 0
        return self._left_of(spec)

    def _left_of(self, spec: AgentSpec) -> int:
        if spec.concurrency_max is None:
            return NO_LIMIT
        return max(0, spec.concurrency_max - self._holdings.count_of_agent(spec.name))

    def possible(self) -> Plan | None:
        """What may be handed out now; None: nothing waits, or there is no place at all."""
        if not self._board.occupied:
            return None
        plan = self._rooms.plan()
        return plan if plan.places else None

    async def take(self, plan: Plan) -> tuple[list[Task], bool]:
        """The best ready tasks for which there is room, and whether there may be more at once in the store."""
        again = False
        while taken := self._board.take(min(BATCH_MAX, plan.places), self._taker(plan)):
            if tasks := await self._tasks_of(taken):
                return tasks, again
            again = True  # all of these were set aside or gone
        return [], again

    def _taker(self, plan: Plan) -> Callable[[str], bool]:
        left: dict[str, int] = {}
        needs: dict[str, Need] = {}

        def may_take(lane: str) -> bool:
            agent = agent_of_lane(lane)
            if agent not in left:
                left[agent] = self.allowed(agent)
            if left[agent] <= 0:
                return False
            if lane not in needs:
                needs[lane] = self._rooms.needs.of_lane(lane)
            if plan.place(lane, needs[lane]) is None:
                self._rooms.passed_over(lane, needs[lane], plan)
                return False
            self._rooms.placed(lane)
            left[agent] -= 1
            return True

        return may_take

    async def _tasks_of(self, taken: Sequence[tuple[str, ReadyEntry]]) -> list[Task]:
        """The tasks behind entries that were taken. What is no longer ready is forgotten on the way."""
        missing = [entry.id for _, entry in taken if entry.id not in self._known]
        known = dict(await self._store.read(lambda tx: tx.tasks(missing))) if missing else {}
        tasks = []
        for lane, entry in taken:
            task = known.get(entry.id) or self._known.pop(entry.id, None)
            if task is None or not task.ready:
                self._board.lane(lane).settle(entry.id)
            else:
                tasks.append(task)
        return self._holds.sift(tasks)

    # -- what was taken and comes back

    def put_back(self, tasks: Sequence[Task]) -> None:
        """They keep their places."""
        for task in tasks:
            self._board.lane(lane_of(task)).put_back(entry_of(task))

    def take_ahead(self, task: Task) -> None:
        """It is leased before it was ever offered."""
        self._board.lane(lane_of(task)).take_ahead(task.id)

    def settle(self, task: Task) -> None:
        """The store knows what became of it."""
        self._board.lane(lane_of(task)).settle(task.id)

    async def reread(self, tasks: Sequence[Task]) -> None:
        """Some of these changed between the read and the commit (a cancel): take what they are now."""
        fresh = await self._store.read(lambda tx: tx.tasks([task.id for task in tasks]))
        for task in tasks:
            now = fresh.get(task.id)
            self.settle(task)
            if now is not None and now.ready:
                self._board.lane(lane_of(now)).offer(entry_of(now))

    def tidy(self) -> None:
        """Forget what nothing waits for any more; called every tick."""
        self._board.forget_idle()
        self._rooms.forget_lanes(lambda name: bool(lane.entries) if (lane := self._board.lanes.get(name)) else False)


def _has(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in wanted.items())


def _ready(tx: StoreTransaction, *, lane: str, after: ReadyEntry | None, limit: int) -> Sequence[ReadyEntry]:
    agent, _, labels = lane.partition(" ")
    return tx.ready(agent, after=after, limit=limit, labels=labels)


def _labels(tx: StoreTransaction, *, agent: str, after: str) -> Sequence[str]:
    return tx.ready_labels(agent, after=after, limit=LABELS_PAGE)
