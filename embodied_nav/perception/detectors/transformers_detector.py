"""A detector of Hugging Face's transformers, by folder or repository id. Knows nothing of depth and of the map.

One with classes of its own (RT-DETRv2, D-FINE, DETR ...), or one of open vocabulary (OWLv2, Grounding DINO), which
looks for words: a list, and the things that the instruction names. Needs the extra ``vlm``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import InputError
from ...language.vocabulary import FURNISHINGS, canonical
from ...resources import how_to_install
from ..backend import PerceptionError
from .class_names import class_names
from .detection import Detection
from .suppression import suppress

#: Kinds of open vocabulary, by how words go in and come out.
_OWL = ("owlv2", "owlvit")
_GROUNDING = ("grounding-dino", "mm-grounding-dino")
#: What the id of no class is called.
_NO_CLASS = ("n/a", "no-object", "no object", "background")
#: Most words that are looked for at once: a text encoder takes 256 tokens.
_MOST_WORDS = 100


@dataclass(frozen=True)
class TransformersOptions:
    """How a model is run.

    Attributes:
        classes: text file with the names of its classes; empty: the model's own.
        words: what a model of open vocabulary always looks for; empty: the vocabulary's furnishings.
        threshold: lowest score. overlap: intersection over union above which the less sure of two boxes goes.
        device: cpu or cuda. threads: of the CPU. download: whether an id may be fetched from the hub.
    """

    classes: str = ""
    words: tuple[str, ...] = ()
    threshold: float = 0.3
    overlap: float = 0.5
    device: str = "cpu"
    threads: int = 1
    download: bool = False


class TransformersDetector:
    """Runs one model.

    Attributes:
        names: label of each class; None with open vocabulary.

    Raises:
        InputError: a missing library or GPU, a folder without config, a wrong architecture, weights that are missing.
    """

    def __init__(self, model: str, options: TransformersOptions | None = None) -> None:
        self._options = options or TransformersOptions()
        self._model, self._processor, self._kind = _load(model, self._options)
        self._path = model
        self.names = None if self._open else _names(self._model.config, self._options.classes, model)
        self._asked: tuple[str, ...] = ()

    @property
    def _open(self) -> bool:
        return self._kind in (*_OWL, *_GROUNDING)

    def look_for(self, words: Collection[str]) -> None:
        """With open vocabulary: looks for these words, too, from now on."""
        self._asked = tuple(words)

    @property
    def words(self) -> tuple[str, ...]:
        """What is looked for with open vocabulary, those asked for first."""
        always = self._options.words or tuple(sorted(FURNISHINGS))
        return tuple(dict.fromkeys(canonical(word) for word in (*self._asked, *always)))[:_MOST_WORDS]

    def detect(self, rgb: np.ndarray) -> list[Detection]:
        """What an HxWx3 uint8 RGB image shows, the surest first.

        Raises:
            PerceptionError: the model fails.
        """
        import torch

        read: Callable[[np.ndarray], tuple[Any, Any, Sequence[str]]] = self._closed
        if self._open:
            read = self._owl if self._kind in _OWL else self._grounding
        try:
            with torch.inference_mode():
                boxes, scores, labels = read(rgb)
        except Exception as error:  # torch and transformers raise of many kinds
            reason = " ".join(str(error).split())[:200]
            raise PerceptionError(f"the detector fails: {type(error).__name__}: {reason}") from None
        return self._detections(np.asarray(boxes, np.float64), np.asarray(scores, np.float64), labels, rgb.shape[:2])

    def _closed(self, rgb: np.ndarray) -> tuple[Any, Any, Sequence[str]]:
        inputs = self._processor(images=rgb, return_tensors="pt").to(self._model.device)
        outputs = self._model(**inputs)
        found = self._processor.post_process_object_detection(
            outputs, threshold=self._options.threshold, target_sizes=[rgb.shape[:2]]
        )[0]
        names = self.names or ()
        labels = [names[k] if k < len(names) else "" for k in found["labels"].tolist()]
        return found["boxes"].cpu(), found["scores"].cpu(), labels

    def _owl(self, rgb: np.ndarray) -> tuple[Any, Any, Sequence[str]]:
        words = self.words
        text = [f"a photo of a {word}" for word in words]
        inputs = self._processor(text=[text], images=rgb, return_tensors="pt", truncation=True).to(self._model.device)
        outputs = self._model(**inputs)
        found = self._processor.image_processor.post_process_object_detection(
            outputs, threshold=self._options.threshold, target_sizes=[rgb.shape[:2]]
        )[0]
        return found["boxes"].cpu(), found["scores"].cpu(), [words[k] for k in found["labels"].tolist()]

    def _grounding(self, rgb: np.ndarray) -> tuple[Any, Any, Sequence[str]]:
        """Each box is of the word whose surest token scores best: always one that was asked for, never a mixture."""
        import torch

        words = self.words
        text = " ".join(f"{word}." for word in words)
        inputs = self._processor(images=rgb, text=text, return_tensors="pt").to(self._model.device)
        outputs = self._model(**inputs)
        chances = outputs.logits[0].sigmoid()  # boxes x tokens
        spans = _spans(inputs["input_ids"][0].tolist(), self._processor.tokenizer, len(words))
        scores = torch.stack([chances[:, first:last].amax(dim=1) for first, last in spans], dim=1)
        best, number = scores.max(dim=1)
        keep = best > self._options.threshold
        center, size = outputs.pred_boxes[0, keep, :2], outputs.pred_boxes[0, keep, 2:]
        height, width = rgb.shape[:2]
        scale = torch.tensor([width, height, width, height], device=center.device)
        boxes = torch.cat([center - size / 2, center + size / 2], dim=1) * scale
        return boxes.cpu(), best[keep].cpu(), [words[k] for k in number[keep].tolist()]

    def _detections(
        self, boxes: np.ndarray, scores: np.ndarray, labels: Sequence[str], shape: tuple[int, ...]
    ) -> list[Detection]:
        height, width = shape
        boxes = np.clip(boxes.reshape(-1, 4), 0.0, np.array([width, height, width, height], dtype=np.float64))
        good = np.isfinite(boxes).all(axis=1) & (boxes[:, 2:] - boxes[:, :2] >= 1.0).all(axis=1)
        good &= np.isfinite(scores) & np.array([bool(label) for label in labels], dtype=bool)
        order = np.flatnonzero(good)[np.argsort(-scores[good], kind="stable")]
        numbers = {label: k for k, label in enumerate(dict.fromkeys(labels))}
        classes = np.array([numbers[label] for label in labels], dtype=np.int64)
        order = order[suppress(boxes[order], scores[order], classes[order], self._options.overlap)]
        return [Detection(labels[k], float(np.clip(scores[k], 0.0, 1.0)), boxes[k]) for k in order]


def is_transformers_model(file: str) -> bool:
    """Whether a detector's name is that of a folder, or of a repository (``owner/name``), and not of a file."""
    path = Path(file)
    if path.exists():
        return path.is_dir()
    return path.suffix.lower() != ".onnx" and file.count("/") == 1 and not file.startswith((".", "/", "~"))


def _spans(ids: Sequence[int], tokenizer: Any, count: int) -> list[tuple[int, int]]:
    """First token, and the one behind the last, of each of ``count`` words that a point ends.

    Raises:
        PerceptionError: the text was cut short.
    """
    point = tokenizer.convert_tokens_to_ids(".")
    ends = [k for k, token in enumerate(ids) if token == point]
    if len(ends) != count:
        raise PerceptionError(f"{len(ends)} of {count} words fit into the model's text; give a shorter detector.words")
    return list(zip([1, *(end + 1 for end in ends[:-1])], ends, strict=True))


def _names(config: Any, classes: str, model: str) -> tuple[str, ...]:
    """The label of each class."""
    count = max((int(k) for k in config.id2label), default=-1) + 1
    if classes:
        return class_names(classes, {}, count, model)
    labels = (str(config.id2label.get(k, "")) for k in range(count))
    return tuple("" if label.lower() in _NO_CLASS else canonical(label) for label in labels)


def _load(name: str, options: TransformersOptions) -> tuple[Any, Any, str]:
    """Model, processor and kind.

    Raises:
        InputError: see :class:`TransformersDetector`.
    """
    try:
        import torch
        import transformers
    except ImportError as error:
        raise InputError(f"detector {name}: needs {error.name}; {how_to_install('vlm')}") from None
    if Path(name).is_dir() and not (Path(name) / "config.json").is_file():
        raise InputError(f"{name}: there is no config.json; give a folder of transformers' form, or an ONNX file")
    if options.device not in ("cpu", "cuda"):
        raise InputError(f"detector.provider = {options.device}: is for ONNX files; give cpu or cuda for {name}")
    if options.device == "cuda" and not torch.cuda.is_available():
        raise InputError("detector.provider = cuda: torch sees no GPU here; set it to cpu")
    chosen = {"local_files_only": not options.download, "trust_remote_code": False}
    try:
        kind = str(transformers.AutoConfig.from_pretrained(name, **chosen).model_type)
        model, about = _class_of(kind, name).from_pretrained(name, output_loading_info=True, **chosen)
        processor = _processor(name, kind, chosen)
    except InputError:
        raise
    except Exception as error:  # transformers, safetensors and tokenizers raise of many kinds at a bad folder
        reason = " ".join(str(error).split())[:160]
        mend = "check the folder" if options.download or Path(name).is_dir() else "set detector.download"
        raise InputError(f"{name}: cannot be loaded ({type(error).__name__}: {reason}); {mend}") from None
    if about["missing_keys"]:
        few = ", ".join(sorted(about["missing_keys"])[:2])
        raise InputError(f"{name}: weights are missing ({few}, ...); get the folder again")
    if options.device == "cpu":
        torch.set_num_threads(options.threads)
    return model.to(options.device).eval(), processor, kind


def _class_of(kind: str, name: str) -> Any:
    """The class that loads a kind of model.

    Raises:
        InputError: it is no detector that is known.
    """
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_FOR_OBJECT_DETECTION_MAPPING_NAMES as CLOSED

    if kind in (*_OWL, *_GROUNDING):
        return transformers.AutoModelForZeroShotObjectDetection
    if kind in CLOSED:
        return transformers.AutoModelForObjectDetection
    raise InputError(f"{name}: is of kind '{kind}', no detector; give an RT-DETRv2, D-FINE, OWLv2 or Grounding DINO")


def _processor(name: str, kind: str, chosen: dict[str, Any]) -> Any:
    """What prepares images, and words with open vocabulary; without torchvision."""
    import transformers

    pil = {"use_fast": False} if int(transformers.__version__.split(".")[0]) < 5 else {"backend": "pil"}
    images = transformers.AutoImageProcessor.from_pretrained(name, **chosen, **pil)
    if kind not in (*_OWL, *_GROUNDING):
        return images
    tokenizer = transformers.AutoTokenizer.from_pretrained(name, **chosen)
    made = {
        "owlv2": transformers.Owlv2Processor,
        "owlvit": transformers.OwlViTProcessor,
    }.get(kind, transformers.GroundingDinoProcessor)
    return made(image_processor=images, tokenizer=tokenizer)
