"""What both ends of a relay need: protocol, blocks, sealing, HTTP, authentication, readers."""
