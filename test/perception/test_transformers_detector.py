"""Detectors of transformers: tiny ones with random weights, saved and loaded as the large ones are."""

import builtins

import numpy as np
import pytest
import tiny_detectors

from embodied_nav.errors import InputError
from embodied_nav.perception import PerceptionError, categories_of
from embodied_nav.perception.detector import DetectorConfig, DetectorPerception, open_detector
from embodied_nav.perception.detectors import TransformersDetector, TransformersOptions, is_transformers_model

torch = pytest.importorskip("torch", reason="needs torch: the extra 'vlm'")
transformers = pytest.importorskip("transformers", reason="needs transformers: the extra 'vlm'")

IMAGE = np.random.default_rng(0).integers(0, 255, (60, 80, 3)).astype(np.uint8)
ALL = TransformersOptions(threshold=0.0, overlap=1.0, words=("chair", "lamp", "coffee machine"))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Folder of each kind, made when it is asked for."""
    made = {}

    def folder(kind):
        if kind not in made:
            made[kind] = str(tiny_detectors.save(tmp_path_factory.mktemp("models") / kind, kind))
        return made[kind]

    return folder


def raw(detector, **inputs):
    """Logits and boxes (relative centre and size) of the image, before anybody has read them."""
    with torch.inference_mode():
        out = detector._model(**detector._processor(images=IMAGE, return_tensors="pt", **inputs))
    return out.logits[0].sigmoid().numpy(), out.pred_boxes[0].numpy()


def corners(boxes, width, height):
    """Corners in pixels, inside the image of 80x60."""
    low, high = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
    found = np.concatenate([low, high], axis=1) * np.array([width, height, width, height])
    return np.clip(found, 0, np.array([80, 60, 80, 60]))


@pytest.mark.parametrize("kind", tiny_detectors.CLOSED)
def test_classes_and_boxes_are_those_of_the_model(models, kind):
    detector = TransformersDetector(models(kind), ALL)
    assert detector.names == ("", "chair", "sofa", "tv"), "in the vocabulary's words, without the class of none"
    scores, boxes = raw(detector)
    found = detector.detect(IMAGE)
    assert found and [d.score for d in found] == sorted((d.score for d in found), reverse=True)
    pixels = corners(boxes, 80, 60)
    for d in found:
        query = int(np.abs(pixels - d.box).sum(axis=1).argmin())
        assert np.abs(pixels[query] - d.box).max() < 1e-3
        assert abs(scores[query, detector.names.index(d.label)] - d.score) < 1e-5
    assert d.mask is None


def test_threshold_and_overlap_leave_out(models):
    folder = models("rt_detr_v2")
    every = TransformersDetector(folder, ALL).detect(IMAGE)
    middle = every[len(every) // 2].score
    surer = TransformersDetector(folder, TransformersOptions(threshold=middle, overlap=1.0)).detect(IMAGE)
    assert 0 < len(surer) < len(every) and all(d.score > middle for d in surer)
    assert len(TransformersDetector(folder, TransformersOptions(threshold=0.0, overlap=0.01)).detect(IMAGE)) <= len(
        every
    )


def test_owl_looks_for_words_and_knows_that_it_padded_the_image(models):
    detector = TransformersDetector(models("owlv2"), ALL)
    detector.look_for(["couch", "lamp"])
    assert detector.words == ("sofa", "lamp", "chair", "coffee machine"), "those asked for first, each once"
    scores, boxes = raw(detector, text=[[f"a photo of a {w}" for w in detector.words]])
    pixels = corners(boxes, 80, 80)  # padded to a square
    found = detector.detect(IMAGE)
    assert found
    for d in found:
        query = int(np.abs(pixels - d.box).sum(axis=1).argmin())
        assert np.abs(pixels[query] - d.box).max() < 1e-3
        assert detector.words[int(scores[query].argmax())] == d.label
        assert abs(scores[query].max() - d.score) < 1e-5


def test_grounding_gives_a_box_the_word_of_its_surest_token(models):
    detector = TransformersDetector(models("grounding-dino"), ALL)
    ids = detector._processor.tokenizer("chair. lamp. coffee machine.")["input_ids"]
    assert detector._processor.tokenizer.convert_ids_to_tokens(ids)[1:-1] == [
        "chair",
        ".",
        "lamp",
        ".",
        "coffee",
        "machine",
        ".",
    ]
    scores, boxes = raw(detector, text="chair. lamp. coffee machine.")
    tokens = {"chair": [1], "lamp": [3], "coffee machine": [5, 6]}
    pixels, found = corners(boxes, 80, 60), detector.detect(IMAGE)
    assert len({d.label for d in found}) > 1
    for d in found:
        query = int(np.abs(pixels - d.box).sum(axis=1).argmin())
        best = {word: scores[query, at].max() for word, at in tokens.items()}
        assert d.label == max(best, key=best.get) and abs(d.score - best[d.label]) < 1e-5


def test_words_that_do_not_fit_are_a_fault_in_words(models):
    words = tuple(f"chair {k}" for k in range(60))
    with pytest.raises(PerceptionError, match=r"words fit into the model's text|the detector fails"):
        TransformersDetector(models("grounding-dino"), TransformersOptions(words=words)).detect(IMAGE)


def test_words_are_furnishings_unless_given(models):
    words = TransformersDetector(models("owlv2")).words
    assert {"sofa", "refrigerator", "bed"} <= set(words)


@pytest.mark.parametrize("kind", ["d_fine", "owlv2"])
def test_perception_takes_it_as_any_other(models, kind):
    """Through the settings, with depth, and with the words of the instruction."""
    from box_scene import camera_pose, keyframe

    config = DetectorConfig(file=models(kind), threshold=0.0, words=("chair",))
    backend = DetectorPerception(config)
    delta = backend.perceive(None, keyframe(0, camera_pose(pitch=0.35)), "find the couch beside the lamp")
    assert delta.source == "detector"
    if kind == "owlv2":
        assert backend.detector.words == ("sofa", "lamp", "chair") and categories_of(backend) is None
        assert {o.label for o in delta.objects} <= {"sofa", "lamp", "chair"}
    else:
        assert categories_of(backend) == {"chair", "sofa", "tv"}


def test_names_from_a_file(models, tmp_path):
    (tmp_path / "names.txt").write_text("a\nb\nTV_monitor\nd\n")
    options = TransformersOptions(classes=str(tmp_path / "names.txt"))
    assert TransformersDetector(models("d_fine"), options).names == ("a", "b", "tv", "d")
    (tmp_path / "names.txt").write_text("a\nb\n")
    with pytest.raises(InputError, match="holds 2 class names, the model has 4"):
        TransformersDetector(models("d_fine"), options)


def copied(models, tmp_path, kind="d_fine"):
    import shutil

    return shutil.copytree(models(kind), tmp_path / "copy")


def test_folder_without_config_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"there is no config\.json; give a folder"):
        open_detector(DetectorConfig(file=str(tmp_path)))


@pytest.mark.parametrize("kind", ["bert", "qwen3_vl"])
def test_wrong_architecture_is_one_line(models, tmp_path, kind):
    folder = copied(models, tmp_path)
    tiny_detectors.rewrite(folder, model_type=kind)
    with pytest.raises(InputError, match=f"is of kind '{kind}', no detector; give an RT-DETRv2"):
        TransformersDetector(str(folder))


@pytest.mark.parametrize("damage", ["weights", "gone", "config", "processor", "fewer"])
def test_damaged_folder_is_one_line(models, tmp_path, damage):
    folder = copied(models, tmp_path)
    weights = folder / "model.safetensors"
    if damage == "weights":
        weights.write_bytes(weights.read_bytes()[:100])
    elif damage == "gone":
        weights.unlink()
    elif damage == "config":
        (folder / "config.json").write_text("{")
    elif damage == "processor":
        (folder / "preprocessor_config.json").unlink()
    else:
        from safetensors.torch import load_file, save_file

        kept = load_file(weights)
        kept.pop(next(name for name in kept if name.endswith("enc_output.0.weight")))
        save_file(kept, weights, metadata={"format": "pt"})
    with pytest.raises(InputError) as raised:
        TransformersDetector(str(folder))
    text = str(raised.value)
    assert text.startswith(f"{folder}: ") and "\n" not in text and len(text) < 420
    assert "weights are missing" in text if damage == "fewer" else "check the folder" in text


def test_id_is_not_fetched_unless_allowed():
    with pytest.raises(InputError, match=r"nobody/no-such-detector: cannot be loaded .*set detector\.download"):
        TransformersDetector("nobody/no-such-detector")


def test_device_that_is_not_there_is_one_line(models):
    with pytest.raises(InputError, match="is for ONNX files; give cpu or cuda"):
        TransformersDetector(models("d_fine"), TransformersOptions(device="tensorrt"))
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="torch sees no GPU here"):
            TransformersDetector(models("d_fine"), TransformersOptions(device="cuda"))


@pytest.mark.gpu
@pytest.mark.parametrize("kind", (*tiny_detectors.CLOSED, *tiny_detectors.OPEN))
def test_gpu_finds_what_the_cpu_finds(models, kind):
    from dataclasses import replace

    cpu = TransformersDetector(models(kind), ALL).detect(IMAGE)
    gpu = TransformersDetector(models(kind), replace(ALL, device="cuda")).detect(IMAGE)
    assert len(cpu) == len(gpu)
    assert np.abs(np.array([d.score for d in cpu]) - [d.score for d in gpu]).max() < 1e-2


def test_missing_library_says_how_to_get_it(models, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "transformers":
            raise ImportError(name="transformers")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=r"needs transformers; install it with"):
        TransformersDetector("some/model")


@pytest.mark.parametrize(
    ("file", "is_one"),
    [("PekingU/rtdetr_v2_r18vd", True), ("models/net.onnx", False), ("/no/such", False), ("net.onnx", False)],
)
def test_folder_and_id_are_told_from_a_file(file, is_one, tmp_path):
    assert is_transformers_model(file) is is_one
    assert is_transformers_model(str(tmp_path))


def test_failing_model_is_a_fault_in_words(models, monkeypatch):
    detector = TransformersDetector(models("d_fine"), ALL)
    monkeypatch.setattr(detector._model, "forward", lambda **_: 1 / 0)
    with pytest.raises(PerceptionError, match="the detector fails: ZeroDivisionError"):
        detector.detect(IMAGE)
