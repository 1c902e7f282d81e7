"""Reads from the contracts which scope a caller needs for each method."""

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.descriptor import FileDescriptor

from protos.common.v1 import options_pb2


def scopes_of(files: Iterable[FileDescriptor]) -> Mapping[str, str]:
    """Map each method's full path ("/quantum.safety.v1.ModeService/GetMode") to its scope.

    A method without the option is mapped to "" so that the server that offers it can refuse to start.
    """
    # The generated types call the extension a plain field, and so leave its value untyped.
    scope: Any = options_pb2.scope
    return {
        f"/{service.full_name}/{method.name}": method.GetOptions().Extensions[scope]
        for file in files
        for service in file.services_by_name.values()
        for method in service.methods
    }
