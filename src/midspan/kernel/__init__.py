"""What every other package may use: clock, ids, errors, telemetry, settings. No IO of its own."""
