"""VGGT's interface: a stand-in that sees a known room up to scale, the published model's code path, and the scale."""

import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest

from embodied_nav.errors import InputError
from embodied_nav.frames import RGBDFrame
from embodied_nav.geometry import Camera, invert, matrix_from_quaternion
from embodied_nav.perception import PerceptionError
from embodied_nav.perception.encoders import make_encoder
from embodied_nav.perception.encoders.depth_scale import depth_scale
from embodied_nav.perception.encoders.vggt import Prediction, VggtConfig, VggtEncoder

CAMERA = Camera(80, 60, 70.0, 72.0, 38.0, 30.5)
SCALE = 3.7


def wall_depth(T, camera):
    """Depth of the plane x = 3 m from a camera at T (map from optical frame)."""
    rays = camera.rays().astype(np.float64) @ T[:3, :3].T
    return ((3.0 - T[0, 3]) / rays[..., 0]).astype(np.float32)


def looking_along_x(x, y, turn=0.0):
    T = np.array([[0.0, 0, 1, x], [-1, 0, 0, y], [0, -1, 0, 0.5], [0, 0, 0, 1]])
    return T @ matrix_from_quaternion([0, np.sin(turn / 2), 0, np.cos(turn / 2)])


POSES = [looking_along_x(0.0, 0.0), looking_along_x(0.4, -0.3, 0.2)]


def frames(poses=POSES, holes=0.3, seed=0):
    rng = np.random.default_rng(seed)
    out = []
    for i, T in enumerate(poses):
        depth = wall_depth(T, CAMERA)
        depth[rng.random(depth.shape) < holes] = np.nan
        out.append(RGBDFrame(i + 1, CAMERA, T, rng.integers(0, 256, (60, 80, 3), dtype=np.uint8), depth))
    return out


class StandIn:
    """Sees the wall in units of 1/SCALE m; its world is a turned one. Tokens: two special ones, then the patches."""

    def __init__(self, poses=POSES, dim=8):
        self.poses, self.dim, self.seen = poses, dim, []

    def __call__(self, images):
        self.seen.append(images)
        _, s, _, h, w = images.shape
        camera = Camera(w, h, 70.0 * w / 80, 72.0 * h / 60, 38.5 * w / 80 - 0.5, 31.0 * h / 60 - 0.5)
        world = matrix_from_quaternion([0.1, 0.2, -0.3, 0.9], [5.0, 1.0, -2.0])
        n = (h // 14) * (w // 14)
        tokens = np.zeros((s, 2 + n, self.dim), np.float32)
        tokens[:, :2] = 1e6
        tokens[:, 2:, 0] = 1
        tokens[:, 2:, 1] = np.arange(n)
        extrinsics = []
        for T in self.poses[:s]:
            E = invert(T) @ world
            E[:3, 3] /= SCALE
            extrinsics.append(E[:3])
        depth = np.stack([wall_depth(T, camera) for T in self.poses[:s]]) / SCALE
        return Prediction(tokens, depth, np.stack(extrinsics))


def encoder(model, **more):
    return VggtEncoder(VggtConfig(image_size=84, **more), model, 8)


def test_pictures_go_in_as_the_interface_says_and_patches_come_out():
    model = StandIn()
    grid = encoder(model).encode(frames()[0])
    (images,) = model.seen
    assert images.shape == (1, 1, 3, 56, 84) and images.dtype == np.float32 and 0 <= images.min() < images.max() <= 1
    assert grid.shape == (4, 6, 8) and np.allclose(np.linalg.norm(grid, axis=-1), 1)
    assert grid[0, 0, 1] == 0 and np.allclose(grid[1, 2, 1] / grid[1, 2, 0], 8)


def test_lengths_become_metres_and_poses_those_of_the_map():
    views = encoder(StandIn()).metric_views(frames())
    assert views.scale.scale == pytest.approx(SCALE, rel=0.01) and views.scale.error < 0.02
    assert np.allclose(views.T_map_camera, POSES, atol=0.02) and np.allclose(views.T_map_camera[0], POSES[0])
    points = views.points()
    assert points.shape == (2, 56, 84, 3) and np.abs(points[..., 0] - 3.0).max() < 0.05


def test_the_scale_is_that_of_the_depth_that_can_be_trusted():
    rng = np.random.default_rng(1)
    measured = rng.uniform(1, 5, (60, 80))
    predicted = measured / SCALE * rng.normal(1, 0.03, measured.shape)
    predicted[:20] *= rng.uniform(1.5, 6, (20, 80))  # a third is wrong, all to one side
    measured[rng.random(measured.shape) < 0.3] = np.nan
    predicted[0, :5], predicted[1, :5] = np.nan, -1.0
    found = depth_scale(predicted, measured)
    assert found.scale == pytest.approx(SCALE, rel=0.01) and 0.55 < found.agreeing < 0.75
    plain = np.nansum(measured * predicted) / np.nansum(np.where(np.isnan(measured), np.nan, predicted) ** 2)
    assert abs(plain / SCALE - 1) > 0.2, "least squares over all would be wrong"


@pytest.mark.parametrize("factor", [1e-3, 1.0, 250.0])
def test_any_unit_will_do(factor):
    measured = np.linspace(0.5, 4, 400)
    assert depth_scale(measured * factor, measured).scale == pytest.approx(1 / factor)


def test_no_scale_is_made_up():
    measured = np.linspace(1, 4, 1000)
    with pytest.raises(PerceptionError, match="only 0 pixels"):
        depth_scale(measured, np.full(1000, np.nan))
    with pytest.raises(PerceptionError, match="agree on a scale"):
        depth_scale(np.geomspace(1e-9, 1e9, 200) * measured[:200], measured[:200])


def test_what_does_not_fit_the_interface_is_told():
    good = StandIn()
    for wrong, said in (
        (lambda p: p._replace(tokens=p.tokens[:, :5]), "gave tokens"),
        (lambda p: p._replace(tokens=p.tokens[..., :3]), "gave tokens"),
        (lambda p: p._replace(depth=p.depth[:, :10]), "and depth"),
        (lambda p: p._replace(extrinsics=p.extrinsics[:, :2]), "extrinsics"),
        (lambda p: p._replace(extrinsics=np.nan * p.extrinsics), "finite"),
    ):
        with pytest.raises(PerceptionError, match=said):
            encoder(lambda images, wrong=wrong: wrong(good(images))).metric_views(frames())

    def out_of_memory(images):
        raise RuntimeError("CUDA out of memory.\nTried")

    with pytest.raises(PerceptionError, match=r"CUDA out of memory. Tried"):
        encoder(out_of_memory).encode(frames()[0])
    colourless = RGBDFrame(1, CAMERA, POSES[0], None, wall_depth(POSES[0], CAMERA))
    with pytest.raises(PerceptionError, match="no colour"):
        encoder(good).metric_views([colourless])


CODE = """
import torch

class Aggregator(torch.nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.project = torch.nn.Linear(3 * 14 * 14, dim)

    def forward(self, images):
        b, s, c, h, w = images.shape
        rows = images.unfold(3, 14, 14).unfold(4, 14, 14).permute(0, 1, 3, 4, 2, 5, 6).reshape(b, s, -1, c * 196)
        patches = self.project(rows)
        special = torch.full((b, s, 5, patches.shape[-1]), 9.0)
        return [torch.zeros(1), torch.cat([special, patches], 2)], 5

class VGGT(torch.nn.Module):
    @classmethod
    def from_pretrained(cls, folder):
        import json, pathlib
        torch.manual_seed(0)
        made = cls()
        dim = 2 * json.loads((pathlib.Path(folder) / "config.json").read_text())["embed_dim"]
        made.aggregator = Aggregator(dim)
        return made

    def depth_head(self, layers, images, patch_start_idx):
        assert patch_start_idx == 5 and images.shape[1] == layers[-1].shape[1]
        return 0.5 + images.mean(2)[..., None], None

    def camera_head(self, layers):
        codes = torch.zeros(1, layers[-1].shape[1], 9)
        codes[..., 6] = 1.0
        codes[0, 1:, 0] = -0.25
        return [None, codes]
"""


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch: the extra 'encoder'")
def test_the_published_models_code_is_loaded_by_path(tmp_path, monkeypatch):
    import sys

    package = tmp_path / "code" / "vggt" / "models"
    package.mkdir(parents=True)
    (package / "vggt.py").write_text(CODE)
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "config.json").write_text(json.dumps({"embed_dim": 6}))
    named = {"perception.encoder": "vggt", "vggt.code": str(tmp_path / "code"), "vggt.model": str(tmp_path / "weights"),
             "vggt.device": "cpu", "vggt.image_size": 84}  # fmt: skip
    made = make_encoder(named)
    assert made.dim == 12 and made.name == f"vggt:{tmp_path / 'weights'}" and made.text_tower() is None
    before = list(sys.path)
    try:
        grid = made.encode(frames()[0])
        assert grid.shape == (4, 6, 12) and sys.path == before
        assert not np.allclose(grid, grid[:1, :1]), "patches, not the special tokens"
        depths = [(1.0 + 2.0 * f.color.mean(-1) / 255).astype(np.float32) for f in frames()]
        measured = [replace(f, depth=depth) for f, depth in zip(frames(), depths, strict=True)]
        views = made.metric_views(measured)
        moved = invert(views.T_map_camera[0]) @ views.T_map_camera[1]
        assert moved[0, 3] == pytest.approx(0.25 * views.scale.scale) and views.scale.scale == pytest.approx(2, rel=0.1)
    finally:
        for name in [n for n in sys.modules if n.split(".")[0] == "vggt"]:
            del sys.modules[name]


def test_what_is_missing_is_told_in_one_line(tmp_path):
    def refused(**more):
        with pytest.raises(InputError) as error:
            make_encoder({"perception.encoder": "vggt", **{f"vggt.{k}": str(v) for k, v in more.items()}}).load()
        return str(error.value)

    assert "vggt.code is empty" in refused()
    assert "there is no vggt/models/vggt.py" in refused(code=tmp_path)
    (tmp_path / "vggt" / "models").mkdir(parents=True)
    (tmp_path / "vggt" / "models" / "vggt.py").write_text("raise ValueError('broken\\ncode')")
    assert "vggt.model is empty" in refused(code=tmp_path)
    assert "there is no config.json" in refused(code=tmp_path, model=tmp_path)
    (tmp_path / "config.json").write_text("{")
    if importlib.util.find_spec("torch") is not None:
        assert "config.json cannot be read" in refused(code=tmp_path, model=tmp_path)
        (tmp_path / "config.json").write_text("{}")
        said = refused(code=tmp_path, model=tmp_path)
        assert "cannot be loaded (ValueError: broken code); check vggt.code" in said
