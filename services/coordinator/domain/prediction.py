"""How likely an agent's next attempt fails, from its own history; it informs and never gates."""

# A beta prior of one failure in ten worth five attempts: a new agent is neither condemned nor trusted by its first end.
PRIOR_FAILURES = 0.5
PRIOR_SUCCESSES = 4.5
# An end loses half of its weight after fourteen later ones.
DECAY = 0.95


def predicted_failure(ends: str) -> float | None:
    """Decayed Beta-Binomial mean over `ends` (oldest first, "1" a success, "0" a failure); None without history."""
    if not ends:
        return None
    failures, successes, weight = PRIOR_FAILURES, PRIOR_SUCCESSES, 1.0
    for end in reversed(ends):
        if end == "1":
            successes += weight
        else:
            failures += weight
        weight *= DECAY
    return failures / (failures + successes)


def success_rate(ends: str) -> float | None:
    """Share of successes; None without history."""
    return ends.count("1") / len(ends) if ends else None
