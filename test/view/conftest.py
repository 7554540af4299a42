"""Lets the tests of the page import what they share, and the memory's rooms of boxes."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path += [str(HERE), str(HERE.parent / "memory")]  # pages, browser; box_rooms
