#!/bin/bash
# Runs a command with ROS 2 and this package sourced.
set -e
# shellcheck disable=SC1090,SC1091
source "/opt/ros/${ROS_DISTRO:-jazzy}/setup.bash"
# shellcheck disable=SC1091
source /opt/embodied_nav/setup.bash
exec "$@"
