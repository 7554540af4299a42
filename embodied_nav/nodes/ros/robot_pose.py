"""Where the robot stands now, for who gives its place a name. Knows nothing of names."""

from __future__ import annotations

import numpy as np

from ...errors import InputError
from .conversions import BadMessage
from .lifecycle import AgentNode
from .tf_lookup import Transforms

#: The newest frame may be so old (s).
_FRESH = 3.0


def now(node: AgentNode, transforms: Transforms, stamp: int) -> np.ndarray:
    """4x4, the robot in the map at the newest frame.

    Args:
        stamp: ns, of that frame; 0 before the first.

    Raises:
        InputError: there is none of this moment, or no transform for it.
    """
    age = (node.get_clock().now().nanoseconds - stamp) * 1e-9
    if not stamp or age > _FRESH:
        since = f"for {age:.0f} s" if stamp else "yet"
        raise InputError(f"where the robot stands is not known: no frame came {since}; see that the camera runs")
    try:
        return transforms.in_map(node.robot.base_frame, stamp)
    except BadMessage as error:
        raise InputError(f"where the robot stands is not known: {error}") from None
