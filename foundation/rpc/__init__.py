"""What every gRPC server and channel of ours has: tokens, rich errors, deadlines, health, one socket each."""

import os

# Read by grpc when it is first imported. Processes with grpc loaded are never forked here, and the
# fork handlers cost a lock on every call.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
