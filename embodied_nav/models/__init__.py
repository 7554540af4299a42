"""Networks of the methods, one folder each: settings, inputs, network, losses. Knows no data sets and no ROS."""
