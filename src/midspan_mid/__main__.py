"""Run the agent's commands with ``python -m midspan_mid``."""

import sys

from midspan_mid.cli import main

sys.exit(main())
