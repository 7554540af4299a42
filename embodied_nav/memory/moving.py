"""How a memory moves its keyframes: corrections beside the running map. Knows the memory that it is part of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..errors import InputError
from ..frames import RGBDFrame
from ..geometry import invert, is_rigid
from .correction import Correction, Placed, anchors, records
from .local_clouds import LocalCloud
from .store import CLOCK

#: A frame may come this long after a correction that it does not know of yet, ns.
_LATE = 5_000_000_000


class Moving:
    """The corrections of :class:`~.spatial_memory.SpatialMemory`."""

    def local_clouds(self) -> list[LocalCloud]:
        """All local clouds, oldest first, the growing one included."""
        self._close_cloud(keep=True)
        return list(self.clouds) + ([self._builder.cloud] if self._builder.cloud is not None else [])

    def begin_correction(
        self, poses: Mapping[int, np.ndarray], stamp: int | None = None, everything: bool = False
    ) -> Correction:
        """Begins to move keyframes: ``correction.run()`` on any thread, then :meth:`apply`; frames may come meanwhile.

        The keyframe that grows counts as moved from now on: later frames are expected to come with corrected poses.
        Another one that was begun and not applied goes on in this one.

        Args:
            poses: keyframe id -> 4x4 map from optical frame; keyframes not named keep theirs.
            stamp: ns; frames that come later and are older than this still have poses from before the correction.
            everything: makes all of the map again, not only what hangs on moved keyframes.

        Raises:
            InputError: an unknown keyframe, or a pose that is not rigid.
        """
        for i, T in poses.items():
            if i not in self.keyframes:
                raise InputError(f"keyframe {i} is not in the memory")
            if not is_rigid(T):
                raise InputError(f"pose of keyframe {i} is not a finite rigid transform")
        everything = everything or self.pager is not None
        if self._correction is not None:
            poses, everything = {**self._correction.poses, **poses}, everything or self._correction.everything
        poses = {i: np.array(T, np.float64) for i, T in poses.items()}
        growing = self._builder.cloud
        self._close_part()
        placed = [Placed(c, c.votes, c.T_map_cloud, self._place(c, i, poses)) for c, i in
                  zip(self.clouds, anchors(self.clouds), strict=True)]  # fmt: skip
        if growing is not None:
            T = growing.T_map_cloud
            here = self._place(growing, anchors([*self.clouds, growing])[-1], poses)
            if stamp is not None:
                self._late = (int(stamp), here @ invert(T))
            self._builder.start(growing.keyframe_id, here, growing.stamp)
        a, n = self.store.arrays, self.store.blocks
        known = a.block_keys[:n][a.block_keys[:n] >= 0]
        self._correction = Correction(self.config, placed, poses, self.classes, self.grid, known, everything)
        return self._correction

    def apply(self, correction: Correction) -> None:
        """Exchanges the map with the corrected one at once; a correction that was not run is run now.

        Raises:
            InputError: another correction was begun since.
        """
        if correction is not self._correction:
            raise InputError("another correction was begun since: apply that one")
        if not correction.done:
            correction.run()
        growing = self._builder.cloud
        self._close_part()
        correction.catch_up(self.clouds[len(correction.clouds) :])
        if growing is not None:
            self._builder.start(growing.keyframe_id, growing.T_map_cloud, growing.stamp)
        self._move(correction)
        if self.pager is not None:
            self._refill(correction)
        elif correction.exchange(self.store):
            self._restarted_at = int(self.store.arrays.counts[CLOCK])
        band = self.grid.low, self.grid.high
        self.grid = correction.grid
        self.grid.set_band(*band)
        self.recount_obstacles()
        self.object_index.touch_all(self.store)
        self._correction = None
        self.corrections += 1
        self.after_change()

    def expected_pose(self, keyframe_id: int) -> np.ndarray:
        """4x4 pose of a keyframe, after a correction that is under way."""
        poses = {} if self._correction is None else self._correction.poses
        return poses.get(keyframe_id, self.keyframes[keyframe_id].T_map_camera)

    def is_pending(self, correction: Correction) -> bool:
        """Whether this is the correction that is to be applied."""
        return correction is self._correction

    def move_keyframes(self, poses: Mapping[int, np.ndarray], stamp: int | None = None) -> None:
        """Moves keyframes and what hangs on them, and returns when that is done; see :meth:`begin_correction`."""
        self.apply(self.begin_correction(poses, stamp))

    def rebuild_from_keyframes(self, poses: Mapping[int, np.ndarray]) -> None:
        """Makes all of the map anew from the local clouds, keyframes moved or not; see :meth:`begin_correction`."""
        self.apply(self.begin_correction(poses, everything=True))

    def _close_part(self) -> None:
        """Closes the growing cloud, which goes on as another one of the same keyframe; an empty one just ends."""
        cloud = self._builder.cloud
        empty = cloud is not None and not cloud.frames and not len(cloud.votes)
        if empty and any(c.keyframe_id == cloud.keyframe_id for c in self.clouds):
            self._builder.cloud = None
        self._close_cloud()

    def _refill(self, correction: Correction) -> None:
        """A bounded memory takes all voxels anew, and puts on disk what does not fit."""
        clock = int(self.store.arrays.counts[CLOCK])
        self.store.clear()
        self.pager.clear()
        self.store.arrays.counts[CLOCK] = self._restarted_at = clock + 1
        try:
            self.restore_voxels(*records(correction.store))
        except (
            InputError
        ) as error:  # the map is half exchanged: what fits goes on, the rest comes with the clouds again
            self.pager.problem = str(error)

    def _corrected(self, frame: RGBDFrame) -> np.ndarray:
        """4x4 pose of a frame; one from before a correction that is under way or done moves with it."""
        T = np.array(frame.T_map_camera, np.float64)
        late = self._late is not None and self._late[0] - _LATE <= frame.stamp < self._late[0]
        return self._late[1] @ T if late else T

    def _place(self, cloud: LocalCloud, anchor: int, poses: Mapping[int, np.ndarray]) -> np.ndarray:
        """Where a cloud belongs (4x4): with its keyframe; one from before the first keyframe moves as that does."""
        if anchor not in poses:
            return cloud.T_map_cloud
        T = poses[anchor]
        if cloud.keyframe_id < 0:
            T = T @ invert(self.keyframes[anchor].T_map_camera) @ cloud.T_map_cloud
        return cloud.T_map_cloud if np.array_equal(T, cloud.T_map_cloud) else T

    def _move(self, correction: Correction) -> None:
        for p in correction.clouds:
            if p.moved:
                p.cloud.T_map_cloud = p.after
        poses = correction.poses
        for s in (s for s in self.object_index.sightings if s.keyframe_id in poses):
            T = poses[s.keyframe_id] @ invert(self.keyframes[s.keyframe_id].T_map_camera)
            s.position = T[:3, :3] @ s.position + T[:3, 3]
        for i, T in poses.items():
            self.keyframes[i] = replace(self.keyframes[i], T_map_camera=T)
