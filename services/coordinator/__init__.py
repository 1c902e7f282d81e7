"""The coordinator owns tasks, attempts, leases, agents and reports."""
