"""The agent for private networks: it dials out, claims jobs, runs probes, streams results back."""
