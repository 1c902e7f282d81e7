"""What every gRPC server and channel of ours has: tokens, rich errors, deadlines, health, one socket each."""

import os

# Read by grpc when it is first imported. Processes with grpc loaded are never forked here, and the
# fork handlers cost a lock on every call.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# Sockets are read by the thread that polls for completions. grpc's event engine reads them in threads of its own and
# wakes that one, for every message and in every process.
os.environ.setdefault(
    "GRPC_EXPERIMENTS", "-event_engine_client,-event_engine_listener,-event_engine_for_all_other_endpoints"
)

ONLY_TLS_1_3 = "ECDHE-PSK-CHACHA20-POLY1305"
"""The list is about TLS 1.2, where this suite finds no partner without a shared key; those of 1.3 are always there."""

# Python's grpc has no setting for the least version of TLS. Read at the first import too, so protos/ does the same.
os.environ.setdefault("GRPC_SSL_CIPHER_SUITES", ONLY_TLS_1_3)
# A refused handshake is the caller's news: it would be a line of grpc's own on our standard error.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
