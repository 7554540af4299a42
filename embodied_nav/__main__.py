"""``python -m embodied_nav``: the same as the ``embodied-nav`` command."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
