"""One typed client per service: values in and out; nobody else dials."""

import foundation.rpc  # noqa: F401  it tells grpc what must be known before grpc is loaded
