"""Exit statuses; they are part of the interface and listed in ``docs/reference/cli.md``."""

DONE = 0
FAILED = 1
"""Something went wrong that is none of the following."""
USAGE = 2
"""The command line cannot be understood."""
REFUSED = 3
"""The instance, or a check before it, said no; the message says why."""
UNREACHABLE = 4
"""No instance answers at the address."""
PORT_TAKEN = 98
"""Another process listens on the port."""
