"""Runs the command line from a source folder: ``python -m hanjax``."""

import sys

from hanjax.cli import main

if __name__ == "__main__":
    sys.exit(main())
