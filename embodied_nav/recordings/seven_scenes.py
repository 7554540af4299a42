"""Reads 7-Scenes sequences, and those of 12-Scenes and 3DMatch, which have the same layout. Knows nothing of ROS.

A folder with ``frame-000000.color.png`` (or .jpg), ``frame-000000.depth.png`` (16 bit, mm, 65535 invalid),
``frame-000000.pose.txt`` (4x4, world from the depth camera) and optionally intrinsics there or one folder above. Frame
n was taken at n / 30 s.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..geometry import Camera, invert, is_rigid, nearest_rigid
from .frame import Calibration
from .images import read_color, read_depth
from .intrinsics import Intrinsics, camera_of, find_intrinsics
from .losses import Losses
from .sequence import NUMBERED_RATE, Reading, Sequence
from .text import read_matrix
from .usable import usable_pairs

#: Intrinsics of the 7-Scenes Kinect for 640x480, used if the folder has none.
_SEVEN_SCENES = (585.0, 585.0, 320.0, 240.0)
#: Reason for dropping a frame.
MISSING = "missing files"
_MEND = "replace this frame or remove its three files"
_CALIBRATION = "give --calibration FILE with 'color: [fx, fy, cx, cy]' and 'depth: [fx, fy, cx, cy]'"


class Numbered(Sequence):
    """One file per image and pose: each frame has colour, depth and a pose of the depth camera.

    Args:
        files: by frame number: color, depth, pose. default: fx, fy, cx, cy and their image size, if the folder has no
            intrinsics.

    Raises:
        InputError: too many frames are damaged, or no intrinsics.
    """

    def __init__(
        self,
        folder: str | Path,
        files: dict[int, dict[str, Path]],
        max_frames: int | None = None,
        calibration: Calibration | None = None,
        reading: Reading | None = None,
        losses: Losses | None = None,
        default: tuple[tuple[float, ...], tuple[int, int]] | None = None,
    ) -> None:
        super().__init__(folder, calibration, reading, losses)
        poses = {n: _read_pose(files[n]["pose"], self.losses) for n in sorted(files)}
        good = ((n, files[n]["color"], files[n]["depth"]) for n in sorted(files) if poses[n] is not None)
        usable = usable_pairs(good, self.losses, _MEND, max_frames)
        self._files = [files[n] for n in usable.kept]
        self.stamps = [n * 1_000_000_000 // NUMBERED_RATE for n in usable.kept]
        self._set_cameras(usable.color, usable.depth, default)
        # Poses are of the depth camera, which was used to compute them.
        self.poses = [poses[n] @ invert(self.T_color_depth) for n in usable.kept]

    def _set_cameras(self, color: tuple[int, int], depth: tuple[int, int], default: tuple | None) -> None:
        calibration = self.calibration
        self.T_color_depth = calibration.T_color_depth
        given = calibration.color and Camera(*color, *calibration.color)
        found = find_intrinsics(self.folder) if not given or not calibration.registered else Intrinsics()
        two = found.color is not found.depth and found.color is not None and found.depth is not None
        if calibration.registered and color != depth and not two:
            raise InputError(f"{self._files[0]['color']}: {_sizes(color, depth)}; {_CALIBRATION}")
        if given and calibration.registered:
            self.camera = given
            return
        own = Camera(*depth, *calibration.depth) if calibration.depth else self._recorded(found, depth, default)
        if two and not given and found.color is not None:
            given = camera_of(found.color, color, found.paths[0])
        self.camera = given or (own if color == depth else own.resized(*color))
        # Depth counts as registered to colour unless there is calibration to the contrary.
        alike = own == self.camera if two else calibration.registered
        self.depth_camera = None if alike and calibration.registered else own

    def _recorded(self, found, size: tuple[int, int], default: tuple | None) -> Camera:
        """The depth camera from the folder's files, or the data set's default with a note."""
        K = found.depth if found.depth is not None else found.color
        if K is not None:
            self._tell(found.paths)
            return camera_of(K, size, found.paths[-1])
        width, height = size
        if default is None or size != default[1]:
            names = "intrinsic/intrinsic_color.txt, _depth.txt" if default is None else "camera-intrinsics.txt"
            wanted = "" if default is None else f" instead of {default[1][0]}x{default[1][1]}, which would be known"
            text = f"holds no intrinsics ({names}), and the images are {width}x{height}{wanted}"
            raise InputError(f"{self.folder}: {text}; give --calibration fx,fy,cx,cy")
        values = ",".join(f"{v:g}" for v in default[0])
        self.notes.append(f"no camera-intrinsics.txt: 7-Scenes' {values} is taken; else give --calibration fx,fy,cx,cy")
        return Camera(width, height, *default[0])

    def _tell(self, paths: tuple[Path, ...]) -> None:
        if paths[0].parent == self.folder.resolve().parent:
            self.notes.append(f"intrinsics are those of {paths[0]}")

    def _images(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        files = self._files[index]
        depth = read_depth(files["depth"], _MEND)
        depth[depth == 65535] = 0
        return read_color(files["color"], _MEND), depth


class SevenScenes(Numbered):
    """A folder in 7-Scenes' format.

    Raises:
        InputError: no such folder, no frames in it, too many frames of which a file is missing, cut short or of another
            size, or whose pose is invalid; no intrinsics.
    """

    def __init__(
        self,
        folder: str | Path,
        max_frames: int | None = None,
        calibration: Calibration | None = None,
        reading: Reading | None = None,
    ) -> None:
        path = Path(folder)
        if not path.is_dir():
            raise InputError(
                f"{folder}: no such folder; give one with frame-NNNNNN.color.png, .depth.png and .pose.txt"
            )
        losses = Losses(str(folder))
        files = _find(path, losses, max_frames)
        super().__init__(folder, files, max_frames, calibration, reading, losses, (_SEVEN_SCENES, (640, 480)))


def _find(folder: Path, losses: Losses, max_frames: int | None) -> dict[int, dict[str, Path]]:
    """The files of each frame that has all three."""
    names: dict[int, dict[str, Path]] = {}
    for path in folder.iterdir():
        match = re.fullmatch(r"frame-(\d+)\.(color|depth|pose)\.(png|jpe?g|txt)", path.name)
        if match:
            names.setdefault(int(match[1]), {})[match[2]] = path
    if not names:
        raise InputError(f"{folder}: holds no frame-NNNNNN.color.png; is it a 7-Scenes sequence (seq-01)?")
    return complete(names, folder, losses, "frame-{:06d}", max_frames)


def complete(
    names: dict[int, dict[str, Path]], folder: Path, losses: Losses, pattern: str, max_frames: int | None = None
) -> dict[int, dict[str, Path]]:
    """The frames that have colour, depth and pose; the first ``max_frames`` plus spares for damaged ones.

    Raises:
        InputError: too many lack one.
    """
    found: dict[int, dict[str, Path]] = {}
    looked = 0
    for number in sorted(names):
        if max_frames is not None and len(found) >= max_frames + max_frames // 5 + 2:
            break
        looked += 1
        missing = [part for part in ("color", "depth", "pose") if part not in names[number]]
        if missing:
            text = f"{folder}: {pattern.format(number)} has no {missing[0]} file"
            losses.damaged(MISSING, text)
        else:
            found[number] = names[number]
    losses.check(looked, "copy the missing files too")
    return found


def _read_pose(path: Path, losses: Losses) -> np.ndarray | None:
    """4x4; None, and counted, if the file has no valid pose, which is how lost tracking is recorded."""
    try:
        T = read_matrix(path, ((4, 4), (3, 4)))
        if T.shape == (3, 4):
            T = np.vstack([T, (0.0, 0.0, 0.0, 1.0)])
        if np.isfinite(T).all() and is_rigid(T, tolerance=1e-2):
            return T if is_rigid(T) else nearest_rigid(T)
        text = f"{path}: is no rigid transform" if np.isfinite(T).all() else f"{path}: is not finite: tracking was lost"
        losses.damaged("lost poses", f"{text}; remove this frame or mend its pose")
    except InputError as error:
        losses.damaged("poses that cannot be read", str(error))
    return None


def _sizes(color: tuple[int, int], depth: tuple[int, int]) -> str:
    return f"color is {color[0]}x{color[1]}, depth {depth[0]}x{depth[1]}, and no intrinsics tell of both cameras"
