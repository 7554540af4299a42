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


def document() -> str:
    """The whole page."""
    sys.path.insert(0, str(ROOT))
    from embodied_nav import bringup
    from embodied_nav.nodes.lifecycle import NodeConfig

    specs = bringup.ALL_NODES
    everywhere = [*bringup.SHARED_SETTINGS, (NodeConfig, "")]
    settings = {spec: [pair for pair in bringup.node_settings(spec) if pair not in everywhere] for spec in specs}
    users: dict[tuple, list[str]] = {}
    for spec in specs:
        for pair in settings[spec]:
            users.setdefault(pair, []).append(spec.name)
    common = [pair for pair, names in users.items() if len(names) > 1]
    parts = [HEAD, "## Every node\n\n" + _table(everywhere)]
    if common:
        names = " and ".join(dict.fromkeys(name for pair in common for name in users[pair]))
        parts.append(f"## The camera: {names}\n\nGive these nodes the same values.\n\n{_table(common)}")
    for spec in specs:
        own = [pair for pair in settings[spec] if pair not in common]
        parts.append(f"## {spec.name}\n\n{spec.description[0].upper()}{spec.description[1:]}.\n\n{_table(own)}")
    return "\n".join(parts)


def _table(settings: list) -> str:
    lines = ["| parameter | default | range | what it is |", "|---|---|---|---|"]
    for kind, prefix in settings:
        for field in dataclasses.fields(kind):
            name = f"{prefix}.{field.name}" if prefix else field.name
            lines.append(f"| `{name}` | {_value(field.default)} | {_range(field)} | {field.metadata['description']} |")
    return "\n".join(lines) + "\n"


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
