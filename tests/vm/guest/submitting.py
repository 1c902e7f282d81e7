"""Submits tasks one after the other over HTTP and prints each id as soon as it is acknowledged.

`python submitting.py URL AGENT... < token`: the agents in turn; `AGENT ID` a line, for ever.
"""

from __future__ import annotations

import http.client
import itertools
import json
import sys
from urllib.parse import urlsplit


def main(url: str, agents: list[str], token: str) -> None:
    """Until the machine is gone."""
    place = urlsplit(url)
    line = http.client.HTTPConnection(place.hostname or "", place.port, timeout=120)
    headers = {"X-Auth-Token": token, "Content-Type": "application/json"}
    for number, agent in enumerate(itertools.cycle(agents)):
        body = json.dumps({"agent": agent, "params": {"number": number}})
        line.request("POST", "/tasks/queue", body, headers)
        answer = line.getresponse()
        text = answer.read()
        assert answer.status in (200, 201, 202), text
        print(agent, json.loads(text)["task"]["id"], flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:], sys.stdin.read().strip())
