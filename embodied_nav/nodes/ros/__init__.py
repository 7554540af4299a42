"""What the nodes share to speak ROS: messages, QoS, TF, parameters, lifecycle, diagnostics. Knows no single node."""
