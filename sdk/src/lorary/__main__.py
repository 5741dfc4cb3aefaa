"""``python -m lorary``."""

import sys

from lorary.cli.app import main

if __name__ == "__main__":
    sys.exit(main())
