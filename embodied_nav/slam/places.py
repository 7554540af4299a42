"""Place recognition: ORB words propose keyframes, 3D-2D RANSAC and depth confirm. Knows nothing of graphs and ROS."""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from ..geometry import Camera, invert
from ..keyframes import Features
from .icp import DepthView, agreement, register

#: Bits per word and words per descriptor (locality-sensitive hashing): two ORB descriptors of one corner (some 30 of
#: 256 bits differ) share a word in half of the cases, two of different corners almost never. No vocabulary to train or
#: ship.
_WORD_BITS, _WORDS = 14, 4
_BITS = np.random.default_rng(7).permutation(256)[: _WORD_BITS * _WORDS].reshape(_WORDS, _WORD_BITS)
#: How depth must confirm a place that features found: largest distance (m) of point pairs; below, the share of the view
#: that fits, normalised residual, shift (m) of the features' pose, and agreement of free space. Of 855 true pairs in
#: simulated apartments one in a hundred agreed less than 0.92; of look-alikes metres apart a third agreed more.
_REACH = 0.10
#: Columns of a stored view's depth, and number of stored views that are cached unpacked.
_KEPT_WIDTH, _UNPACKED = 160, 8
_MIN_SHARE, _MAX_RESIDUAL, _MAX_MOVE, _MIN_AGREEMENT = 0.45, 2.0, 0.25, 0.88


@dataclass(frozen=True, eq=False)
class View:
    """What a keyframe shows, subsampled: enough to register to it and to recognise it.

    Attributes:
        depth: HxW float32 m, NaN invalid.
        camera: its intrinsics.
        features: ORB of the colour image, or None.
        points: Nx3 float32 in the optical frame, one per feature, NaN without depth.
        depth_view: depth with normals, if requested.
    """

    depth: np.ndarray
    camera: Camera
    features: Features | None
    points: np.ndarray
    depth_view: DepthView | None

    @classmethod
    def of(
        cls,
        depth: np.ndarray,
        camera: Camera,
        features: Features | None,
        normals: bool = False,
        greys: tuple[np.ndarray, ...] = (),
    ) -> View:
        """Makes a view; ``normals`` makes it a reference for registration, with :func:`.icp.grey_levels` if given."""
        points = np.zeros((0, 3), np.float32) if features is None else _points(depth, camera, features)
        return cls(depth, camera, features, points, DepthView.of(depth, camera, greys) if normals else None)


@dataclass(frozen=True, eq=False)
class KeptView:
    """A view as stored, some 40 KB: depth at half size in mm, losslessly compressed.

    Attributes:
        features, points: as in :class:`View`.
        depth_png: (B,) uint8, PNG of uint16 mm, 0 invalid.
        camera: the depth's intrinsics.
    """

    features: Features | None
    points: np.ndarray
    depth_png: np.ndarray
    camera: Camera

    @classmethod
    def of(cls, view: View) -> KeptView:
        """Compresses a view."""
        import cv2

        step = max(1, round(view.camera.width / _KEPT_WIDTH))
        depth = view.depth[::step, ::step]
        c = view.camera
        camera = Camera(depth.shape[1], depth.shape[0], c.fx / step, c.fy / step, c.cx / step, c.cy / step)
        millimetres = np.nan_to_num(depth * 1000.0, nan=0.0).clip(0, 65535).round().astype(np.uint16)
        packed = cv2.imencode(".png", millimetres, [cv2.IMWRITE_PNG_COMPRESSION, 1])[1]
        return cls(view.features, view.points, packed.ravel(), camera)

    def depth_shape(self) -> tuple[int, ...]:
        """(height, width) of the compressed depth; () if it cannot be decoded."""
        import cv2

        depth = cv2.imdecode(self.depth_png, cv2.IMREAD_UNCHANGED) if len(self.depth_png) else None
        return () if depth is None or depth.dtype != np.uint16 else depth.shape

    def view(self) -> View:
        """Decompresses it and computes normals."""
        import cv2

        millimetres = cv2.imdecode(self.depth_png, cv2.IMREAD_UNCHANGED)
        assert millimetres is not None, "depth_shape says whether it can be unpacked"
        depth = np.where(millimetres > 0, millimetres.astype(np.float32) / 1000, np.float32(np.nan))
        return View(depth, self.camera, self.features, self.points, DepthView.of(depth, self.camera))


@dataclass(frozen=True, eq=False)
class Location:
    """Pose of one view in another's optical frame.

    Attributes:
        T: 4x4, other optical frame from this one.
        inliers: matches that RANSAC kept.
        information: 6x6, as in :class:`.icp.Registration`.
        weakest: m, standard deviation by depth alone in the weakest direction; infinite if depth was not used.
    """

    T: np.ndarray
    inliers: int
    information: np.ndarray
    weakest: float = float("inf")


def locate(view: View, other: View | KeptView, min_inliers: int = 20, ratio: float = 0.8) -> Location | None:
    """Pose of a view against another by matched features: the other's 3D points, this view's pixels, RANSAC.

    Returns:
        The location, or None if too few matches agree.
    """
    import cv2

    if view.features is None or other.features is None or min(len(view.features), len(other.features)) < min_inliers:
        return None
    assert other.features.descriptors is not None and view.features.descriptors is not None  # both have features
    distance, index = cv2.batchDistance(
        other.features.descriptors, view.features.descriptors, cv2.CV_32S, normType=cv2.NORM_HAMMING, K=2
    )
    good = (distance[:, 0] < ratio * distance[:, 1]) & np.isfinite(other.points[:, 2])
    if good.sum() < min_inliers:
        return None
    scale = view.camera.width / view.features.size[0]
    pixels = view.features.points[index[good, 0]].astype(np.float64) * scale
    points = other.points[good].astype(np.float64)
    cv2.setRNGSeed(1)
    found, rvec, tvec, kept = cv2.solvePnPRansac(
        points, pixels, view.camera.K, None, iterationsCount=200, reprojectionError=3.0, flags=cv2.SOLVEPNP_EPNP
    )
    if not found or kept is None or len(kept) < min_inliers or len(kept) < 0.25 * good.sum():
        return None
    kept = kept.ravel()
    rvec, tvec = cv2.solvePnPRefineLM(points[kept], pixels[kept], view.camera.K, None, rvec, tvec)
    T = np.eye(4)
    T[:3, :3], T[:3, 3] = cv2.Rodrigues(rvec)[0], tvec.ravel()
    depth = float(np.median(points[kept, 2]))
    sigma_r = 2.0 / view.camera.fx / np.sqrt(len(kept) / 10.0)
    information = np.diag([(sigma_r * depth) ** -2] * 3 + [sigma_r**-2] * 3)
    return Location(invert(T), len(kept), information)


class Places:
    """Stores views and finds those that show the same place as a new one.

    A confirmed view matches in appearance and shape; only the pose graph can tell whether two look-alike places are the
    same.
    """

    def __init__(self, min_inliers: int = 25) -> None:
        self.min_inliers = min_inliers
        self.views: dict[int, KeptView] = {}
        self._unpacked: OrderedDict[int, View] = OrderedDict()
        self._index: dict[int, list[int]] = defaultdict(list)

    def add(self, number: int, view: View | KeptView) -> None:
        """Stores a view under its keyframe's number."""
        self.views[number] = view if isinstance(view, KeptView) else KeptView.of(view)
        for word in _words(view):
            self._index[word].append(number)

    def drop(self, number: int) -> None:
        """Forgets a view."""
        for word in _words(self.views.pop(number)):
            self._index[word].remove(number)
            if not self._index[word]:
                del self._index[word]
        self._unpacked.pop(number, None)

    def candidates(self, view: View, allowed: Collection[int] | None = None, most: int = 5) -> list[int]:
        """Views that share the most rare words with this one, best first; only those in ``allowed``."""
        hits: list[int] = []
        counts: list[int] = []
        for word in _words(view):
            holders = self._index.get(word)
            if holders:
                hits += holders
                counts.append(len(holders))
        if not hits:
            return []
        numbers, which = np.unique(np.array(hits, np.int64), return_inverse=True)
        scores = np.bincount(which, np.repeat(1.0 / np.array(counts, np.float64), counts), len(numbers))
        if allowed is not None:
            scores[~np.isin(numbers, np.fromiter(allowed, np.int64, len(allowed)))] = 0.0
        best = np.argsort(-scores, kind="stable")[:most]
        return [int(numbers[k]) for k in best if scores[k] > 0.0]

    def confirm(self, view: View, number: int) -> Location | None:
        """The pose of a view against a stored one if features, then depth, agree; else None."""
        found = locate(view, self.views[number], self.min_inliers)
        return None if found is None else self.fit(view, number, found)

    def fit(self, view: View, number: int, guess: Location) -> Location | None:
        """Refines a guess by depth; None if the two views contradict each other."""
        other = self._view(number)
        assert other.depth_view is not None
        fitted = register(view.depth, view.camera, other.depth_view, guess.T, guess.information, _REACH)
        if fitted.share < _MIN_SHARE or fitted.residual > _MAX_RESIDUAL:
            return None
        if float(np.linalg.norm(fitted.T[:3, 3] - guess.T[:3, 3])) > _MAX_MOVE:
            return None
        if agreement(view.depth, view.camera, other.depth, other.camera, fitted.T) < _MIN_AGREEMENT:
            return None
        return Location(fitted.T, guess.inliers, fitted.information + guess.information, fitted.weakest)

    def _view(self, number: int) -> View:
        """A stored view, decompressed; a few are cached, since the same ones are needed repeatedly."""
        view = self._unpacked.pop(number, None) or self.views[number].view()
        self._unpacked[number] = view
        while len(self._unpacked) > _UNPACKED:
            self._unpacked.popitem(last=False)
        return view


def _words(view: View | KeptView) -> set[int]:
    if view.features is None or view.features.descriptors is None:
        return set()
    bits = np.unpackbits(view.features.descriptors, axis=1)[:, _BITS]
    values = bits @ (1 << np.arange(_WORD_BITS)) + (np.arange(_WORDS) << _WORD_BITS)
    return set(values.ravel().tolist())


def _points(depth: np.ndarray, camera: Camera, features: Features) -> np.ndarray:
    """3D points of features; of the depths around a corner the nearest belongs to the object that has the corner."""
    pixels = features.points * (camera.width / features.size[0])
    u = np.clip(np.rint(pixels[:, 0]).astype(int), 1, camera.width - 2)
    v = np.clip(np.rint(pixels[:, 1]).astype(int), 1, camera.height - 2)
    around = np.stack([depth[v + dv, u + du] for dv in (-1, 0, 1) for du in (-1, 0, 1)])
    around = np.where(np.isnan(around), np.float32(np.inf), around)
    z = around.min(axis=0)
    farthest = np.where(np.isfinite(around), around, -np.inf).max(axis=0)
    z = np.where(np.isfinite(z) & (farthest < 1.1 * z), z, np.nan).astype(np.float32)
    rays = np.column_stack(
        [(pixels[:, 0] - camera.cx) / camera.fx, (pixels[:, 1] - camera.cy) / camera.fy, np.ones(len(pixels))]
    )
    return (rays * z[:, None]).astype(np.float32)
