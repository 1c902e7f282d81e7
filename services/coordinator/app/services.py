"""What runners say of the services that they keep alive, kept in memory for people, and told as alerts."""

from collections.abc import Sequence

from foundation.errors import QuantumError
from foundation.log import get_logger
from services.coordinator.app.changes import Changes
from services.coordinator.domain.attempt import ServiceNews
from services.coordinator.domain.task import Task, TaskState
from services.coordinator.ports import Catalogue
from services.coordinator.ports_safety import AlertBell, PersonalAlert

_GOES_ON = (TaskState.RUNNING, TaskState.PAUSED)
_log = get_logger("coordinator")


class Services:
    """Of each service that runs the newest news. A runner says it again on every new stream."""

    def __init__(self, catalogue: Catalogue, changes: Changes, bell: AlertBell) -> None:
        self._catalogue = catalogue
        self._bell = bell
        self._news: dict[str, ServiceNews] = {}
        self._started: dict[str, int] = {}
        self._due: dict[str, PersonalAlert | None] = {}  # by cause; None: it is over
        changes.subscribe(self._follow)

    def status(self, task_id: str) -> ServiceNews | None:
        """The newest news of a service that runs; None: it has not ended since its attempt began, or is none."""
        return self._news.get(task_id)

    def hear(self, task: Task, news: ServiceNews) -> None:
        """A runner has told something of the service that this task runs."""
        if task.state not in _GOES_ON:
            return
        before = self._news.get(task.id)
        self._news[task.id] = news
        if news.escalated and news.next_start_at is not None:
            said = f"Service {task.agent} ends again and again, the last time it {news.last_end}."
            remedy = f"quantum agents {task.agent} shows its last lines; quantum logs {task.id}."
            cause = _cause(task.agent)
            self._due[cause] = PersonalAlert(cause=cause, level="warning", sentence=said, remedy=remedy)
        elif before is not None and before.escalated and not news.escalated:
            self._due[_cause(task.agent)] = None

    def _follow(self, tasks: Sequence[Task]) -> None:
        specs = self._catalogue.agents()
        for task in tasks:
            spec = specs.get(task.agent)
            if spec is None or not spec.is_service:
                continue
            if task.state is TaskState.RUNNING and self._started.get(task.id) != task.fence:
                # A new attempt: whatever held it before is over.
                self._started[task.id] = task.fence
                self._news.pop(task.id, None)
                self._due[_cause(task.agent)] = None
            elif task.state not in _GOES_ON:
                self._news.pop(task.id, None)
                self._started.pop(task.id, None)
                if task.state is TaskState.CANCELLED:
                    self._due[_cause(task.agent)] = None

    async def tell(self) -> None:
        """Tell safety what is due; while it cannot be asked, the newest of each cause waits."""
        for cause, alert in list(self._due.items()):
            try:
                if alert is not None:
                    await self._bell.ring(alert)
                else:
                    await self._bell.resolve(cause)
            except QuantumError as error:
                _log.warning(f"An alert is told later: {error.message}", action="alert_waits", cause=cause)
                return
            if self._due.get(cause) is alert:
                del self._due[cause]


def _cause(agent: str) -> str:
    """One voice for each service, whatever is wrong with it."""
    return f"service:{agent}"
