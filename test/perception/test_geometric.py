"""The model-free back end on the box scene (known truth) and on real frames of a room where nothing moves."""

import time
from dataclasses import replace

import numpy as np
import pytest
from box_scene import BOXES, camera_pose, keyframe, render

from embodied_nav.frames import Keyframe, RGBDFrame
from embodied_nav.geometry import Camera
from embodied_nav.perception import PerceptionError, create
from embodied_nav.perception import surfaces as S


def by_color(observations, color):
    return [o for o in observations if o.color == color]


def without(*ids):
    return {i: box for i, box in BOXES.items() if i not in ids}


def test_boxes_are_found_named_by_colour_and_placed():
    key = keyframe(0, camera_pose(), noise=0.002)
    delta = create("geometric").perceive(None, key, "go to the red thing")
    assert delta.source == "geometric" and not delta.stale
    for instance, color in ((1, "red"), (2, "blue"), (7, "green")):
        found = by_color(delta.objects, color)
        assert len(found) == 1
        low, high = np.array(BOXES[instance][0]), np.array(BOXES[instance][1])
        assert ((found[0].position > low - 0.1) & (found[0].position < high + 0.1)).all()
        k = 1 + next(i for i, o in enumerate(delta.objects) if o is found[0])
        truth, segment = key.frame.instance_ids == instance, delta.segments == k
        assert (truth & segment).sum() > 0.75 * (truth | segment).sum()
    structure = key.frame.instance_ids == 0
    assert (delta.segments[structure] > 0).mean() < 0.03
    assert delta.relevant.startswith("red object ahead left at 2.")
    assert "new red object" in delta.text


def test_floor_and_up_are_found_in_a_map_that_nobody_levelled():
    a = np.radians(30)
    tilt = np.eye(4)
    tilt[:3, :3] = [[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]]
    frame = render(camera_pose(pitch=0.4))
    grid = S.make_grid(replace(frame, T_map_camera=tilt @ frame.T_map_camera), 0.1, 8.0)
    up = S.estimate_up(grid, np.array([0.0, 0.0, 1.0]))
    assert np.degrees(np.arccos(up @ tilt[:3, 2])) < 2.0
    camera_height = float((tilt @ frame.T_map_camera)[:3, 3] @ up)
    assert S.find_floor(grid, up, camera_height) == pytest.approx(camera_height - 1.0, abs=0.05)


def test_a_table_top_is_no_floor():
    frame = render(camera_pose(pitch=0.3), boxes={1: ((0.8, -1.0, 0.0), (1.8, 1.0, 0.6), (120, 80, 40))})
    points = frame.camera.unproject(frame.depth) @ frame.T_map_camera[:3, :3].T + frame.T_map_camera[:3, 3]
    seen = (frame.instance_ids == 1) | ((points[..., 0] > 5.9) & (points[..., 2] > 0.1))
    up = np.array([0.0, 0.0, 1.0])

    def floor(mask):
        depth = np.where(mask, frame.depth, np.nan).astype(np.float32)
        return S.find_floor(S.make_grid(replace(frame, depth=depth), 0.1, 8.0), up, 1.0)

    assert floor(seen) is None
    assert floor(np.ones_like(seen)) == pytest.approx(0.0, abs=0.03)


def test_a_table_is_one_thing_and_what_stands_on_it_another():
    table = ((1.6, -0.8, 0.0), (2.6, 0.8, 0.5), (120, 80, 40))
    box = ((2.0, -0.1, 0.5), (2.2, 0.1, 0.75), (20, 40, 200))
    delta = create("geometric").perceive(None, keyframe(0, camera_pose(pitch=0.35), boxes={1: table, 2: box}), "")
    assert sorted(o.color for o in delta.objects) == ["blue", "brown"]
    brown, blue = by_color(delta.objects, "brown")[0], by_color(delta.objects, "blue")[0]
    assert brown.extent[1] > 1.3 and brown.extent[2] == pytest.approx(0.45, abs=0.08)
    assert blue.extent.max() < 0.4 and blue.position[2] > 0.5


def test_a_level_board_seen_alone_is_a_surface():
    board = {1: ((1.2, -0.8, 0.68), (2.4, 0.8, 0.70), (120, 80, 40))}
    delta = create("geometric").perceive(None, keyframe(0, camera_pose(pitch=0.35), boxes=board), "")
    assert [(o.label, o.color) for o in delta.objects] == [("surface", "brown")]
    assert delta.objects[0].position[2] == pytest.approx(0.70, abs=0.04)


def test_new_gone_and_moved():
    backend = create("geometric")
    a = keyframe(0, camera_pose())
    backend.perceive(None, a, "")
    b = keyframe(1, camera_pose(y=0.1), boxes=without(2))
    taken = backend.perceive(a, b, "find the blue chair")
    assert [o.color for o in taken.gone] == ["blue"] and not taken.new and not taken.moved
    c = keyframe(2, camera_pose(y=0.1), boxes=BOXES)
    back = backend.perceive(b, c, "")
    assert [o.color for o in back.new] == ["blue"] and not back.gone
    shifted = {**BOXES, 2: ((3.0, -2.2, 0.0), (3.5, -1.6, 0.5), (30, 60, 200))}
    moved = backend.perceive(c, keyframe(3, camera_pose(y=0.1), boxes=shifted), "")
    assert [o.color for o in moved.moved] == ["blue"] and not moved.gone and not moved.new
    assert moved.moved[0].position[1] < -1.5


def test_a_turn_away_and_back_changes_nothing():
    backend, previous = create("geometric"), None
    for i, yaw in enumerate((0.0, 0.4, 0.8, 0.4, 0.0)):
        key = keyframe(i, camera_pose(yaw=yaw), noise=0.002, seed=i)
        delta = backend.perceive(previous, key, "")
        assert not delta.gone and not delta.moved
        previous = key


def test_without_depth_or_colour():
    backend = create("geometric")
    a, b = keyframe(0, camera_pose()), keyframe(1, camera_pose(yaw=0.5))
    blind = [replace(k, frame=replace(k.frame, depth=None)) for k in (a, b)]
    assert backend.perceive(None, blind[0], "").objects == ()
    delta = backend.perceive(blind[0], blind[1], "")
    assert delta.action == "rotate left" and delta.objects == () and delta.segments is None
    empty = replace(b, frame=replace(b.frame, depth=np.full_like(b.frame.depth, np.nan)))
    assert backend.perceive(a, empty, "").objects == ()
    grey = replace(a, frame=replace(a.frame, color=None))
    assert {o.color for o in create("geometric").perceive(None, grey, "").objects} == {""}
    wrong = replace(a, frame=replace(a.frame, depth=a.frame.depth[::2]))
    with pytest.raises(PerceptionError, match="depth is"):
        create("geometric").perceive(None, wrong, "")


def kitchen_keyframes(folder, numbers):
    import cv2

    camera = Camera(640, 480, 585, 585, 320, 240)
    for k, n in enumerate(numbers):
        stem = folder / f"frame-{n:06d}"
        color = cv2.cvtColor(cv2.imread(f"{stem}.color.jpg"), cv2.COLOR_BGR2RGB)
        depth = cv2.imread(f"{stem}.depth.png", cv2.IMREAD_UNCHANGED).astype(np.float32) / 1000
        depth[depth == 0] = np.nan
        # The recording's own map: its z is not up.
        T = np.loadtxt(f"{stem}.pose.txt")
        yield Keyframe(k, RGBDFrame(1 + n * 33_333_333, camera, T, color, depth), float("nan"), 0, "first")


def test_real_frames_of_a_still_room(kitchen):
    backend, previous, times, gone, colors = create("geometric"), None, [], 0, set()
    for key in kitchen_keyframes(kitchen, range(0, 600, 40)):
        start = time.process_time()
        delta = backend.perceive(previous, key, "find the red cupboard")
        times.append(time.process_time() - start)
        gone += len(delta.gone) + len(delta.moved)
        colors |= {o.color for o in delta.objects}
        assert 3 <= len(delta.objects) <= 40
        previous = key
    assert gone <= 1
    assert {"red", "brown", "white"} <= colors
    assert np.median(times) < 0.060
