"""Lets the tests of planning import their world."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
