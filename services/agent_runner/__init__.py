"""Leases attempts from the coordinator and runs them as real processes under limits."""
