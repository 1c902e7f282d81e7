"""The channel arguments that must agree on both ends of a connection."""

from __future__ import annotations

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
METADATA_BYTES_MAX = 64 * 1024
KEEPALIVE_MILLISECONDS = 20_000
KEEPALIVE_TIMEOUT_MILLISECONDS = 10_000
# A server that hears pings faster than it allows answers "Too many pings" and closes the connection,
# so it allows twice the rate at which our channels send them.
PING_INTERVAL_MILLISECONDS_MIN = KEEPALIVE_MILLISECONDS // 2

Options = tuple[tuple[str, int | str], ...]

_SHARED: Options = (
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_send_message_length", MESSAGE_BYTES_MAX),
    # The first is where grpc begins to refuse at random, the second where it always does.
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.keepalive_time_ms", KEEPALIVE_MILLISECONDS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MILLISECONDS),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
)

SERVER_OPTIONS: Options = (
    *_SHARED,
    ("grpc.http2.min_ping_interval_without_data_ms", PING_INTERVAL_MILLISECONDS_MIN),
    # By default two servers can share one port, each getting half of the calls, and nobody is told.
    ("grpc.so_reuseport", 0),
)

CHANNEL_OPTIONS: Options = (
    *_SHARED,
    # Otherwise channels to one target share one connection, and a pool of channels is none.
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # Despite its name how long a connection may take to be made: a server on a busy machine answers late, not never.
    ("grpc.min_reconnect_backoff_ms", 5_000),
    # A runner that is back later than a lease and three quarters finds its attempts given to others.
    ("grpc.max_reconnect_backoff_ms", 1_000),
)
