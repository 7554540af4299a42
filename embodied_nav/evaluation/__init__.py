"""Runs agents through episodes and says how well they did, with confidence intervals. Knows nothing of ROS."""
