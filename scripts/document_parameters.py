"""Writes docs/parameters.md from the settings of the nodes; a test compares. Run it in .venv after a change."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEAD = """\
# Parameters

Made by `scripts/document_parameters.py` from the settings in the source: every value is checked against its range when
a node starts, and one that is out of range or unknown ends the node with one line that names it. All are read-only
while a node runs. A parameter file gives them as any ROS 2 node takes them:

```yaml
/**:
  ros__parameters:
    robot: {footprint_radius: 0.22, camera_height: 0.6, camera_pitch: 0.0}
memory:
  ros__parameters:
    file: /home/robot/flat.db
```

`ros2 launch embodied_nav agent.launch.py params_file:=robot.yaml`, or `embodied-nav up --config robot.yaml`.
"""
SHARED = "## The camera and the image encoder\n\nGive the nodes that share a table the same values.\n"


def document() -> str:
    """The whole page."""
    sys.path.insert(0, str(ROOT))
    from embodied_nav.bringup import parameter_files
    from embodied_nav.node_table import ALL_NODES
    from embodied_nav.nodes.ros.lifecycle import NodeConfig
    from embodied_nav.robot import SHARED_SETTINGS

    specs = ALL_NODES
    everywhere = [*SHARED_SETTINGS, (NodeConfig, "")]
    settings = {
        spec: [pair for pair in parameter_files.node_settings(spec) if pair not in everywhere] for spec in specs
    }
    users: dict[tuple, list[str]] = {}
    for spec in specs:
        for pair in settings[spec]:
            users.setdefault(pair, []).append(spec.name)
    others = " and ".join(spec.name for spec in specs if not spec.lifecycle)
    parts = [HEAD, f"## Every node\n\n{_table(list(SHARED_SETTINGS))}"]
    parts += [f"## Every node but {others}\n\n{_table([(NodeConfig, '')])}", *_shared(users)]
    for spec in specs:
        own = [pair for pair in settings[spec] if len(users[pair]) == 1]
        chosen = "".join(_choices(table) for table in parameter_files.node_tables(spec))
        text = f"{spec.description[0].upper()}{spec.description[1:]}."
        parts.append(f"## {spec.name}\n\n{text}\n\n{chosen}{_table(own)}")
    return "\n".join(parts)


def _shared(users: dict[tuple, list[str]]) -> list[str]:
    """A table for each group of nodes that have the same settings."""
    groups: dict[tuple[str, ...], list[tuple]] = {}
    for pair, names in users.items():
        if len(names) > 1:
            groups.setdefault(tuple(names), []).append(pair)
    found = [f"### {', '.join(names[:-1])} and {names[-1]}\n\n{_table(pairs)}" for names, pairs in groups.items()]
    return [SHARED, *found] if found else []


def _choices(registry) -> str:
    """What a node takes by name, and what each is set by."""
    lines = [f"| {registry.kind} | what it is | its settings |", "|---|---|---|"]
    for entry in registry.entries:
        settings = f"`{entry.parameter_prefix}.*`" if entry.settings_class() else ""
        lines.append(f"| `{entry.name}` | {entry.description} | {settings} |")
    return "\n".join(lines) + "\n\n"


def _table(settings: list) -> str:
    lines = {}
    for kind, prefix in settings:
        for field in dataclasses.fields(kind):
            name = f"{prefix}.{field.name}" if prefix else field.name
            cells = (f"`{name}`", _value(field.default), _range(field), field.metadata["description"])
            lines.setdefault(name, f"| {' | '.join(cells)} |")  # what back ends share is there once
    return "\n".join(["| parameter | default | range | what it is |", "|---|---|---|---|", *lines.values()]) + "\n"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return f'"{value}"'
    if isinstance(value, tuple):
        return f"[{', '.join(map(_value, value))}]"
    return f"{value:.4g}" if isinstance(value, float) and value != int(value) else str(value)


def _range(field: dataclasses.Field) -> str:
    meta = field.metadata
    if meta["choices"]:
        return ", ".join(meta["choices"])
    low, high = meta["low"], meta["high"]
    if low is None and high is None:
        return meta["unit"]
    low, high = (v if isinstance(v, int) or v is None else f"{v:.3g}" for v in (low, high))
    text = f"≥ {low}" if high is None else f"≤ {high}" if low is None else f"{low} to {high}"
    return f"{text} {meta['unit']}".rstrip()


if __name__ == "__main__":
    (ROOT / "docs" / "parameters.md").write_text(document(), encoding="utf-8")
