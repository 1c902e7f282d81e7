"""A gateway that listens beyond loopback is spoken to by TLS, and only with the workspace's own authority."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from foundation.authority import Authority
from foundation.clock import SystemClock
from foundation.files import atomic_write
from tests.hooks.gateway import gateway
from tests.hooks.scene import Scene
from tests.programs import require

NOW = SystemClock().now() - timedelta(minutes=1)


def identity(scene: Scene, tmp_path: Path) -> tuple[Authority, Path]:
    """An authority, and the identity of a gateway by it."""
    authority = Authority.make(scene.workspace.key12, now=NOW)
    path = tmp_path / "gateway.pem"
    pem = authority.issue(scene.workspace.key12, "gateway", "local", now=NOW, hosts=("localhost", "127.0.0.1"))
    atomic_write(path, pem, 0o600)
    return authority, path


@pytest.mark.parametrize("own", [True, False], ids=["its own authority", "another"])
def test_only_its_own_authority_is_trusted(scene: Scene, tmp_path: Path, own: bool) -> None:
    require("curl")
    authority, pem = identity(scene, tmp_path)
    trusted = authority if own else Authority.make(scene.workspace.key12, now=NOW)
    scene.workspace.authority.parent.mkdir()
    scene.workspace.authority.write_bytes(trusted.certificate)
    with gateway(identity=pem) as served:
        scene.guard(served.port)
        scene.serve(served.port, "0.0.0.0")
        scene.diverge()
        said = scene.git("merge", "topic")
        tokens = {one.token for one in served.asked}
    if own:
        assert tokens == {scene.token}
        assert "the merge is good" in said.err
    else:
        assert tokens == set()
        assert "does not answer" in said.err
        assert len(scene.unchecked) == 1
