"""Finds the recording that a path refers to, and its format, from the files there. Reads no frames."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from .bag_files import bag_files, ros1_files
from .scannet import part_folder
from .tum_layout import looks_like

#: Supported formats.
FORMATS = ("7scenes", "tum", "rosbag2", "rosbag1", "scannet", "icl", "openloris", "bonn")
_KNOWN = (
    "frame-NNNNNN.color.png (7-Scenes, 12-Scenes, 3DMatch), rgb.txt and depth.txt (TUM, Bonn), associations.txt "
    "(ICL-NUIM), color.txt and aligned_depth.txt (OpenLORIS), color/, depth/ and pose/ (ScanNet), metadata.yaml, .db3 "
    "or .mcap (rosbag2), .bag (ROS 1)"
)
#: Container files that must be unpacked by another tool first, and how.
_PACKED = {
    ".sens": "export it by ScanNet's SensReader: python reader.py --filename {0} --output_path OUT "
    "--export_color_images --export_depth_images --export_poses --export_intrinsics; then give OUT",
    ".zip": "unpack it: unzip {0} -d OUT; then give OUT",
    ".tgz": "unpack it: tar xf {0}; then give the folder",
    ".gz": "unpack it: tar xf {0}; then give the folder",
    ".tar": "unpack it: tar xf {0}; then give the folder",
    ".7z": "unpack it: 7z x {0}; then give the folder",
    ".klg": "it is ElasticFusion's log; export it as a TUM sequence, then give the folder",
    ".oni": "it is OpenNI's recording; export it as a TUM sequence, then give the folder",
    ".svo": "it is a ZED recording; export it by ZED's SVO export sample, then give the folder",
    ".mkv": "it is an Azure Kinect recording; extract it by Open3D's azure_kinect_mkv_reader, then give the folder",
}
#: Depth of the search below the given folder, and most folders searched.
_DEPTH, _MOST = 2, 300


def found_format(folder: str | Path) -> str:
    """The format of a recording, from the files in its folder.

    Raises:
        InputError: nothing there, or no known format.
    """
    return find(folder)[1]


def find(given: str | Path) -> tuple[Path, str]:
    """The recording that a path refers to, and its format: itself, a file's folder, or the only one below a folder.

    Raises:
        InputError: nothing there, no known format, or several recordings.
    """
    path = Path(given)
    if path.is_file():
        return _of_file(path)
    if not path.is_dir():
        formats = "7-Scenes, TUM RGB-D, ScanNet, rosbag2"
        raise InputError(f"{given}: no such folder; give one with a recording ({formats}, ...)")
    format = _format_of(path)
    if format:
        return path, format
    below = _recordings_below(path)
    if len(below) == 1:
        return below[0]
    if below:
        names = ", ".join(str(place) for place, _ in below[:5]) + ", ..." * (len(below) > 5)
        raise InputError(f"{given}: holds {len(below)} recordings; give one of them: {names}")
    above = _around(path)
    if above:
        return above
    packed = next((p for p in sorted(path.iterdir()) if p.suffix in _PACKED), None)
    if packed is not None:
        raise InputError(f"{given}: holds {packed.name}; {_PACKED[packed.suffix].format(packed)}")
    if not any(path.iterdir()):
        raise InputError(f"{given}: holds no recording: the folder is empty; give another")
    raise InputError(f"{given}: holds no recording that is known here; looked for {_KNOWN}")


def _format_of(path: Path) -> str:
    """The format of a path; empty if a folder itself holds no recording."""
    if (path / "metadata.yaml").exists() or bag_files(path):
        return "rosbag2"
    if any(path.glob("frame-*.color.*")) or any(path.glob("frame-*.depth.*")):
        return "7scenes"
    kin = looks_like(path)
    if kin:
        return kin
    if all(part_folder(path, part) for part in ("color", "depth", "pose")):
        return "scannet"
    return "rosbag1" if ros1_files(path) else ""


def _of_file(path: Path) -> tuple[Path, str]:
    """A bag's file is a recording by itself; any other file belongs to the folder it is in."""
    if path.name.endswith((".db3", ".mcap", ".db3.zstd", ".mcap.zstd")):
        return path, "rosbag2"
    if path.name.endswith((".bag", ".bag.active")):
        return path, "rosbag1"
    if path.suffix in _PACKED:
        raise InputError(f"{path}: is not read as it is; {_PACKED[path.suffix].format(path)}")
    found = _around(path)
    if found is None:
        raise InputError(f"{path}: is a file, and no recording lies around it; give the folder of a recording")
    return found


def _around(path: Path) -> tuple[Path, str] | None:
    """The recording that a file or folder is part of, e.g. rgb/ or rgb/1.png of a TUM sequence."""
    for place in list(path.resolve().parents)[:2]:
        format = _format_of(place)
        if format and not (format.startswith("rosbag") and path.is_dir()):
            return place, format
    return None


def _recordings_below(path: Path) -> list[tuple[Path, str]]:
    found, level, looked = [], [path], 0
    for _ in range(_DEPTH):
        level = sorted(child for place in level for child in place.iterdir() if child.is_dir())
        deeper = []
        for place in level[: _MOST - looked]:
            looked += 1
            format = _format_of(place)
            if format:
                found.append((place, format))
            else:
                deeper.append(place)
        level = deeper
    return found
