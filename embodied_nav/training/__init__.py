"""Training of the shipped networks, one folder a method. Knows nothing of ROS."""
