"""`python -m multidir` is the command line."""

import sys

from multidir.cli import main

sys.exit(main())
