"""``python -m embodied_nav``: the same as the ``embodied-nav`` command."""

from .cli import run_command

if __name__ == "__main__":
    run_command()
