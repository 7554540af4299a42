"""Drivers of a robot, by name: frames and poses in, velocities or actions out. Knows nothing of ROS, simulators."""

from .agent import Agent
from .driver import Blind, Driver
from .table import DRIVERS

__all__ = ["DRIVERS", "Agent", "Blind", "Driver"]
