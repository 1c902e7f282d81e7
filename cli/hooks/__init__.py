"""The merge guard in people's repositories: which they are, putting its hooks in and out, and how each stands."""
