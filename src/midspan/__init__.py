"""The Midspan instance. Packages are listed bottom to top in ARCHITECTURE.md."""
