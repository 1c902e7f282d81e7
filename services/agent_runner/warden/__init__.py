"""The small process beside each runner that spawns, owns and, on its own clock, ends the scripts' processes.

It exists because a runner that is stopped or killed cannot fence its scripts: they run on. The warden never
imports grpc and never blocks on the runner, so that nothing which can happen to the runner keeps it from
ending a tree.
"""
