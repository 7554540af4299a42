"""Reads TUM RGB-D sequences and similar ones (Bonn, ICL-NUIM, OpenLORIS, ETH3D). Knows nothing of ROS.

A folder with ``rgb.txt`` and ``depth.txt`` (a stamp in seconds and a file name per line, # starts a comment), or with
one file of associations (stamp, colour, stamp, depth; ICL-NUIM: depth first), ``groundtruth.txt`` (stamp, position,
quaternion x y z w of the colour camera) and the images that they name: 16-bit depth PNG, 5000 per metre, 0 invalid,
registered to colour. :mod:`.tum_layout` handles the differences between the data sets' folders.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..errors import InputError
from ..geometry import Camera
from .frame import Calibration
from .images import read_color, read_depth
from .motion import Track
from .pairs import pair, why_apart
from .sequence import Reading, Sequence
from .stamps import nanoseconds, numbered, unit_of
from .text import lines_of, number
from .tum_layout import MIRRORS, Layout, Listed, layout_of
from .usable import usable_pairs

#: No interpolation between poses farther apart (ns) than the first value, or for a slower track than three of its
#: steps, at most the second value.
_LONGEST_GAP, _LARGEST_GAP = 100_000_000, 1_000_000_000
_MEND = "replace this image or remove its line"
_NUMBERED = "numbers of frames: taken for 30 a second"


class Tum(Sequence):
    """A folder in the TUM RGB-D benchmark's format, or a similar one.

    A frame is a colour and a depth image at most ``sync_slop`` apart, stamped as depth is. If there is ground truth,
    frames without a pose in it are dropped.

    Args:
        kind: tum, bonn, icl or openloris.

    Raises:
        InputError: no such folder or files, invalid lines, too many images damaged, no intrinsics.
    """

    def __init__(
        self,
        folder: str | Path,
        max_frames: int | None = None,
        calibration: Calibration | None = None,
        reading: Reading | None = None,
        kind: str = "tum",
    ) -> None:
        super().__init__(folder, calibration, reading)
        self._layout = layout = layout_of(self.folder, kind)
        self.losses.add("listed, but not there", layout.without_end())
        color, depth = (self._stamped(images) for images in (layout.color, layout.depth))
        pairs = pair(color, depth, self.reading.slop_ns)
        if not pairs or 2 * len(pairs) < min(len(color), len(depth)):
            why = why_apart(color, depth, self.reading.slop_ns)
            names = f"{layout.color.source} and {layout.depth.source}"
            if not pairs:
                raise InputError(f"{folder}: no image of {names} goes with one of the other: {why}")
            self.notes.append(f"{len(pairs)} of {len(depth)} images of {names} go together: {why}")
        track = self._truth()
        poses = [None if track is None else self._pose_of(track, depth[j]) for _, j in pairs]
        kept = [n for n, T in enumerate(poses) if track is None or T is not None]
        self._explain(track, [depth[j] for _, j in pairs], kept)
        files = ((n, layout.color.paths[pairs[n][0]], layout.depth.paths[pairs[n][1]]) for n in kept)
        usable = usable_pairs(files, self.losses, _MEND, max_frames)
        if max_frames is None:
            self.losses.add("depth images without colour", len(depth) - len(pairs))
            self.losses.add("without a pose", sum(T is None for T in poses if track is not None) - self._lost)
        self.stamps = [depth[pairs[n][1]] for n in usable.kept]
        self.poses = None if track is None else [poses[n] for n in usable.kept]
        self._files = [tuple(images.paths[i] for images, i in zip((layout.color, layout.depth), pairs[n], strict=True))
                       for n in usable.kept]  # fmt: skip
        self._set_cameras(usable.color, usable.depth)
        self.notes += layout.notes

    def _stamped(self, images: Listed) -> list[int]:
        """Stamps in ns; of images with the same stamp, the first is kept."""
        unit = unit_of(images.words)
        stamps = nanoseconds(images.words, unit, images.places)
        if len(set(stamps)) == 1 < len(stamps):
            self.notes.append(f"{images.source}: all stamps are {images.words[0]}: lines are taken for {_NUMBERED}")
            return numbered(range(len(stamps)))
        if unit != "s":
            what = _NUMBERED if unit == "frames" else f"in {unit}"
            self.notes.append(f"{images.source}: stamps like {images.words[0]} are {what}")
        first: dict[int, int] = {}
        for n, stamp in enumerate(stamps):
            first.setdefault(stamp, n)
        if images is self._layout.depth:
            self.losses.add("with the same stamp as another", len(stamps) - len(first))
        images.paths[:] = [images.paths[n] for n in first.values()]
        return list(first)

    def _truth(self) -> Track | None:
        path = self._layout.truth
        if path is None:
            return None
        words, places, rows = [], [], []
        for line, text in lines_of(path):
            values = text.replace(",", " ").split()
            try:
                stamp, row = values[0], [number(word) for word in values[1:8]]
                unit_of([stamp])
                if len(row) < 7:
                    raise ValueError
            except ValueError:
                expected = "a stamp, x y z and a quaternion x y z w"
                raise InputError(f"{path}:{line}: '{text[:40]}' is not {expected}") from None
            words.append(stamp)
            places.append(f"{path}:{line}")
            rows.append(row)
        if not rows:
            raise InputError(f"{path}: tells no pose; remove it to go without (--slam own finds poses)")
        stamps = self._truth_stamps(words, places)
        poses = np.array(rows)
        steps = np.diff(np.unique(stamps))
        gap = int(np.clip(3 * np.median(steps), _LONGEST_GAP, _LARGEST_GAP)) if len(steps) else _LONGEST_GAP
        return Track(stamps, poses[:, :3], poses[:, 3:], gap)

    def _truth_stamps(self, words: list[str], places: list[str]) -> list[int]:
        """Stamps of the poses in ns; if images are numbered and each has a stamped pose, assigned in order."""
        unit, images = unit_of(words), self._layout.depth
        counted = unit_of(images.words) == "frames"
        if unit == "frames" and not counted:
            unit = "s"
        elif counted and unit != "frames" and len(words) == len(images.words):
            name = self._layout.truth.name if self._layout.truth is not None else ""
            self.notes.append(f"{name}: its poses are taken for the images' in their order")
            return nanoseconds(images.words, "frames", images.places)
        return nanoseconds(words, unit, places)

    def _pose_of(self, track: Track, stamp: int) -> np.ndarray | None:
        T = track.at(stamp)
        return None if T is None else T @ self._layout.T_told_color

    def _explain(self, track: Track | None, stamps: list[int], kept: list[int]) -> None:
        """Counts frames with an invalid pose; raises if no frame has a pose."""
        self._lost = 0
        if track is None:
            return
        path = self._layout.truth
        for n in sorted(set(range(len(stamps))) - set(kept)):
            if track.broken_at(stamps[n]):
                self._lost += 1
                text = f"{path}: its pose at {stamps[n] * 1e-9:.3f} s is none (not finite, or a quaternion of zeros)"
                self.losses.damaged("lost poses", text)
        if not kept:
            self.losses.check(len(stamps))
            spans = [f"{a * 1e-9:.3f} to {b * 1e-9:.3f} s" for a, b in (track.span, (min(stamps), max(stamps)))]
            text = f"tells the pose of no frame: it is of {spans[0]}, the images are of {spans[1]}"
            raise InputError(f"{path}: {text}; remove it to go without (--slam own finds poses)")

    def _set_cameras(self, color: tuple[int, int], depth: tuple[int, int]) -> None:
        calibration, layout = self.calibration, self._layout
        own = layout.depth_camera is not None and calibration.color is None
        if calibration.registered and color != depth and not own:
            sizes = f"color is {color[0]}x{color[1]}, depth {depth[0]}x{depth[1]}"
            example = "'color: [fx, fy, cx, cy]' and 'depth: [fx, fy, cx, cy]'"
            raise InputError(f"{self.folder}: {sizes}; give --calibration FILE with {example}")
        values = calibration.color or layout.camera(color)
        self._mirror(values)
        try:
            self.camera = Camera(*color, *map(abs, values[:2]), *values[2:])
        except InputError as error:
            raise InputError(f"{self.folder}: {error}; give --calibration fx,fy,cx,cy") from None
        self.T_color_depth = calibration.T_color_depth
        if not calibration.registered:
            given = calibration.depth and Camera(*depth, *calibration.depth)
            self.depth_camera = given or self.camera.resized(*depth)
        elif own:
            self.depth_camera, self.T_color_depth = layout.depth_camera, layout.T_color_depth

    def _mirror(self, values: tuple[float, ...]) -> None:
        """A negative focal length means a mirrored world axis, as in ICL-NUIM: mirrors camera and world together, so
        that the map is right-handed."""
        signs = np.sign(values[:2])
        if (signs > 0).all():
            return
        mirror = MIRRORS[int(signs[0]), int(signs[1])]
        self.notes.append("a focal length is negative: poses are mirrored with the images, the map is right handed")
        if self.poses is not None:
            self.poses = [mirror @ T @ mirror for T in self.poses]

    def _images(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        color, depth = self._files[index]
        units = read_depth(depth, _MEND)
        metres = units.astype(np.float32) / np.float32(self._layout.depth_unit)
        metres[units == 0] = np.nan
        return read_color(color, _MEND), metres


__all__ = ["Layout", "Tum"]
