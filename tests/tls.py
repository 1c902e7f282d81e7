"""Which versions of TLS a port agrees on, asked with `openssl s_client`."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

# Debian's configuration leaves the old versions out, on either side.
UNCONFIGURED = {**os.environ, "OPENSSL_CONF": "/dev/null"}
VERSIONS: Mapping[str, str] = {"-tls1": "TLSv1", "-tls1_1": "TLSv1.1", "-tls1_2": "TLSv1.2", "-tls1_3": "TLSv1.3"}


def speaks(port: int, flag: str, identity: Path) -> bool:
    """Whether `openssl s_client` agrees with a port on exactly this version."""
    done = subprocess.run(
        [
            *("openssl", "s_client", "-connect", f"127.0.0.1:{port}", flag, "-cipher", "ALL:@SECLEVEL=0"),
            *("-alpn", "h2", "-cert", str(identity), "-key", str(identity)),
        ],
        input=b"",
        capture_output=True,
        timeout=60,
        check=False,
        env=UNCONFIGURED,
    )
    # The flag leaves it no other version, and the line names 1.0 for 1.1.
    return re.search(rb"^New, TLSv[0-9.]+, Cipher is [A-Z]", done.stdout, re.MULTILINE) is not None


@contextmanager
def speaking_all(identity: Path) -> Iterator[int]:
    """The control: a port of a server on which every version succeeds."""
    with subprocess.Popen(
        [
            *("openssl", "s_server", "-accept", "127.0.0.1:0", "-cert", str(identity), "-key", str(identity)),
            *("-cipher", "ALL:@SECLEVEL=0", "-min_protocol", "TLSv1"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=UNCONFIGURED,
    ) as server:
        assert server.stdout is not None
        try:
            yield next(int(line.rsplit(b":", 1)[1]) for line in server.stdout if line.startswith(b"ACCEPT"))
        finally:
            server.kill()
