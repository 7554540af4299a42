"""Who has found which topic: a source that must lose nothing begins only then. Knows nothing of what is published."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from rclpy.node import Node


def missing_watchers(node: Node, wanted: Mapping[str, Collection[str]]) -> list[str]:
    """Which nodes are not known to listen yet, as "memory to listen to odom", one entry a topic.

    By name, not by number: a viewer that listens, too, must not be taken for the memory.

    Args:
        node: that publishes.
        wanted: topic -> names of the nodes that are to listen.
    """
    missing = []
    for topic, names in wanted.items():
        late = set(names) - {endpoint.node_name for endpoint in node.get_subscriptions_info_by_topic(topic)}
        if late:
            missing.append(f"{', '.join(sorted(late))} to listen to {topic}")
    return missing
