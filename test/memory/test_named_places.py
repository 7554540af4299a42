"""Places with a name: they move as their keyframes do, belong to one map, and outlast file, join and dropped keyframes."""

import sqlite3

import numpy as np
import pytest
from box_rooms import *  # noqa: F403
