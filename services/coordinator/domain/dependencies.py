"""Who waits for whom among the tasks of one call."""

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter

from foundation.errors import FieldFault, did_you_mean
from services.coordinator.domain.names import REF_RULE, is_ref

DEPENDS_ON_MAX = 100


def is_batch_ref(wanted: str) -> bool:
    """Whether an entry of `depends_on` names a task of the same call (`#ref`)."""
    return wanted.startswith("#")


def index_refs(refs: Sequence[str], faults: list[FieldFault]) -> Mapping[str, int]:
    """Map each ref to the index of its task; what is malformed or given twice becomes a fault."""
    index: dict[str, int] = {}
    for position, ref in enumerate(refs):
        if not ref:
            continue
        if not is_ref(ref):
            faults.append(FieldFault(f"tasks[{position}].ref", f"A ref is made of {REF_RULE}."))
        elif ref in index:
            said = f"tasks[{index[ref]}] has the ref “{ref}” already."
            faults.append(FieldFault(f"tasks[{position}].ref", said))
        else:
            index[ref] = position
    return index


def check_dependencies(wanted: Sequence[Sequence[str]], refs: Mapping[str, int], faults: list[FieldFault]) -> None:
    """Add a fault for each unknown ref, each overlong list, and each cycle, which is named by its members."""
    graph: dict[int, list[int]] = {}
    before = len(faults)
    for position, names in enumerate(wanted):
        if not names:
            continue
        path = f"tasks[{position}].depends_on"
        if len(names) > DEPENDS_ON_MAX:
            said = f"A task may depend on at most {DEPENDS_ON_MAX} others, not {len(names)}."
            faults.append(FieldFault(path, said))
        graph[position] = []
        for place, name in enumerate(names[:DEPENDS_ON_MAX]):
            if not is_batch_ref(name):
                continue
            parent = refs.get(name[1:])
            if parent is None:
                faults.append(FieldFault(f"{path}[{place}]", _unknown_ref(name, refs)))
            else:
                graph[position].append(parent)
    if graph and len(faults) == before:
        faults.extend(_cycle(graph, {index: ref for ref, index in refs.items()}))


def _unknown_ref(name: str, refs: Mapping[str, int]) -> str:
    nearest = did_you_mean(name[1:], refs)
    meant = f" Did you mean “#{nearest}”?" if nearest else ""
    return f"No task of this call has the ref “{name[1:]}”.{meant}"


def _cycle(graph: Mapping[int, Sequence[int]], names: Mapping[int, str]) -> list[FieldFault]:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        # graphlib lists each before those that wait for it, the first one again at the end.
        members: list[int] = list(reversed(error.args[1]))
        chain = " → ".join(f"#{names[member]}" for member in members)
        said = f"These tasks wait for one another, so none could ever start: {chain}."
        return [FieldFault(f"tasks[{members[0]}].depends_on", said)]
    return []
