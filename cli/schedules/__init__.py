"""What stands behind `quantum schedule`."""
