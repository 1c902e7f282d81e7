"""Reads a folder of agents as the coordinator would, and prints it: `python -m … FOLDER`, for who proposes manifests.

Prints `{"agents": [{"name", "kind", "aliases", "source", "script", "declared", "faults", "notices"}],
"builtin": [names]}`. Nothing is run, and nothing but FOLDER and what its agent.toml files name is read.
"""

import json
import sys
from pathlib import Path

from services.coordinator.adapters.catalogue_files import BUILTIN, FileCatalogue
from services.coordinator.domain.agent import AgentSpec


def document_of(folder: Path) -> dict[str, object]:
    """The agents of a folder together with those that come with Quantum, as the catalogue has them."""
    nowhere = folder / "no-such-file"
    agents = FileCatalogue(folder, nowhere).agents()
    own = FileCatalogue(BUILTIN, nowhere, BUILTIN).agents()
    shown = [_shown(spec) for _, spec in sorted(agents.items()) if not spec.builtin]
    return {"agents": shown, "builtin": sorted(own)}


def _shown(spec: AgentSpec) -> dict[str, object]:
    return {
        "name": spec.name,
        "kind": spec.kind,
        "aliases": list(spec.aliases),
        "source": spec.source,
        "script": spec.script,
        "declared": spec.declared,
        "faults": list(spec.faults),
        "notices": list(spec.notices),
    }


if __name__ == "__main__":
    json.dump(document_of(Path(sys.argv[1])), sys.stdout)
