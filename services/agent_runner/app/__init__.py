"""What a runner does: takes leases, has them spawned, follows their output, reports their ends."""
