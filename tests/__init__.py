"""The tests."""

import foundation.rpc  # noqa: F401  it tells grpc what must be known before grpc is loaded
