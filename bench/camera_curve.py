"""Success over camera heights and pitches: one `eval` for each pair, and a `report` of all.

    python bench/camera_curve.py --scenes 1000-1049 --episodes 100 [--heights 0.3,0.5,0.7,0.85,1.1,1.4]
                                 [--pitches 0,10,20,30] [--out runs/camera_curve] [options of eval ...]

The same episodes at every camera, so that differences are paired. All else is as `eval` has it (--agent rules
--perception simulator --localization ...); further options go to it: --jobs 2, --cluster HOST:6379, --perception
compact. Resumable as it is. A mast higher than the robot must fit under what the robot drives under: where the camera
stands higher than the profile's height, that becomes 5 cm more than the camera's.

The whole curve, 24 cameras with 100 episodes each, takes about as long as 2400 episodes.
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from embodied_nav.cli.main import main as command
from embodied_nav.robot import RobotProfile

HEIGHTS, PITCHES = (0.3, 0.5, 0.7, 0.85, 1.1, 1.4), (0.0, 10.0, 20.0, 30.0)
#: m between the camera and the top of its mast.
ABOVE = 0.05


def numbers(text: str) -> tuple[float, ...]:
    """Numbers between commas."""
    return tuple(float(part) for part in text.split(","))


def settings(height: float, pitch: float) -> list[str]:
    """Values of ``--set`` for a camera ``height`` (m) above the floor that looks down by ``pitch`` (degrees)."""
    values = {"camera_height": height, "camera_pitch": round(math.radians(pitch), 4)}
    if height + ABOVE > RobotProfile().height:
        values["height"] = round(height + ABOVE, 3)
    return [f"robot.{name}={value:g}" for name, value in values.items()]


def main(arguments: list[str] | None = None) -> int:
    """Evaluates every camera, then writes the report; the exit code of the first command that failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--heights", type=numbers, default=HEIGHTS, help="m above the floor")
    parser.add_argument("--pitches", type=numbers, default=PITCHES, help="degrees down")
    parser.add_argument("--out", type=Path, default=Path("runs/camera_curve"), help="a folder")
    args, others = parser.parse_known_args(arguments)
    files = []
    for height in args.heights:
        for pitch in args.pitches:
            files.append(str(args.out / f"h{height:.2f}_p{pitch:04.1f}.json"))
            print(f"== camera {height:g} m high, {pitch:g} degrees down", flush=True)
            chosen = [word for value in settings(height, pitch) for word in ("--set", value)]
            if code := command(["eval", *others, *chosen, "--out", files[-1]]):
                return code
    return command(["report", *files, "--out", str(args.out / "report")])


if __name__ == "__main__":
    sys.exit(main())
