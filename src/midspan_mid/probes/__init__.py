"""The agent's probes: one file each, found by listing this package."""
