"""ROS 2 nodes: messages to records and back, parameters, QoS, diagnostics. Knows no algorithms; one file a node."""
