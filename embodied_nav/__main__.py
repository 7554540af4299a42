"""``python -m embodied_nav``: the same as the ``embodied-nav`` command."""

from .cli.main import entry

if __name__ == "__main__":
    entry()
