"""Pictures for the page: JPEG in and out, smaller, with boxes. Knows arrays and records; OpenCV comes when used."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from ..frames import ObjectObservation
from ..memory.output.render import label_color


def decoded(picture: bytes) -> np.ndarray | None:
    """(H, W, 3) uint8 RGB of a JPEG; None for what is none."""
    import cv2

    if not picture:
        return None
    found = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    return None if found is None else np.ascontiguousarray(found[..., ::-1])


def encoded(image: np.ndarray, width: int, quality: int = 75) -> bytes:
    """JPEG of an (H, W, 3) uint8 RGB image, at most ``width`` pixels wide."""
    import cv2

    small = np.ascontiguousarray(shrunk(image, width)[..., ::-1])
    return bytes(cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())


def shrunk(image: np.ndarray, width: int) -> np.ndarray:
    """An (H, W, 3) uint8 image, at most ``width`` pixels wide."""
    import cv2

    if image.shape[1] <= width:
        return image
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def boxed(image: np.ndarray, seen: Iterable[ObjectObservation]) -> np.ndarray:
    """A copy of an (H, W, 3) uint8 image with the boxes and names of what was seen in it."""
    import cv2

    out = np.ascontiguousarray(image).copy()
    height, width = out.shape[:2]
    scale = max(0.35, width / 1000)
    for o in seen:
        if o.box is None:
            continue
        u0, v0, u1, v1 = (int(np.clip(x, 0, most)) for x, most in zip(o.box, (width, height) * 2, strict=True))
        if u1 <= u0 or v1 <= v0:
            continue
        color = label_color(o.label)
        cv2.rectangle(out, (u0, v0), (u1 - 1, v1 - 1), color, 1 + width // 640)
        text = _plain(o.name)
        (w, h), low = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, 1)
        top = max(v0, h + low)
        cv2.rectangle(out, (u0, top - h - low), (min(u0 + w, width - 1), top), color, cv2.FILLED)
        dark = sum(color) > 380
        ink = (20, 20, 20) if dark else (255, 255, 255)
        cv2.putText(out, text, (u0, top - low // 2 - 1), cv2.FONT_HERSHEY_SIMPLEX, scale, ink, 1, cv2.LINE_AA)
    return out


def _plain(text: str) -> str:
    """OpenCV's letters are ASCII."""
    return text.encode("ascii", "replace").decode()[:40]
