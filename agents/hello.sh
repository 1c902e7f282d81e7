#!/bin/sh
# /// script
# [tool.quantum]
# description = "Says hello; copy this file to make an agent of your own"
# effects = "none"
# timeout = "30s"
# ///
set -eu
echo "Hello from ${QUANTUM_AGENT:-hello}, attempt ${QUANTUM_ATTEMPT:-1}, in $(pwd)"
echo "My params are $(cat "${QUANTUM_PARAMS:-/dev/null}")"
printf '{"type": "hello", "project": "%s", "summary": "Said hello", "data": {}}\n' \
  "${QUANTUM_PROJECT:-}" > "${QUANTUM_REPORT:-/dev/null}"
