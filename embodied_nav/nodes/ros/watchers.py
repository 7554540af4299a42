"""Checks discovery: which nodes have subscribed to which topic, before a source starts. Knows no messages."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from rclpy.node import Node

from .shared import nodes_behind


def missing_watchers(node: Node, wanted: Mapping[str, Collection[str]]) -> list[str]:
    """Which nodes have not been discovered as subscribers yet, as "memory to listen to odom", one entry a topic.

    Checked by name, not by count: another subscriber, such as RViz, must not be taken for the memory.

    Args:
        node: the publisher.
        wanted: topic -> names of the nodes that must subscribe.
    """
    missing = []
    for topic, names in wanted.items():
        late = set(names) - {
            name
            for endpoint in node.get_subscriptions_info_by_topic(topic)
            for name in nodes_behind(endpoint.node_name)
        }
        if late:
            missing.append(f"{', '.join(sorted(late))} to listen to {topic}")
    return missing
