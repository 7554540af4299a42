"""Loads vision models of transformers by folder or id, without their processors. Knows no kind of model.

Of the image processor only mean and deviation are read: the picture is fitted to whole patches here, and transformers'
own processors crop it, or want torchvision.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...config import Config, param
from ...errors import InputError
from ...resources import how_to_install


@dataclass(frozen=True)
class EncoderConfig(Config):
    """Settings of the encoders that transformers runs."""

    model: str = param("", "folder of a model, or its id at Hugging Face (facebook/dinov2-small, say)")
    download: bool = param(False, "a model given by id may be downloaded; else it must be in the cache")
    device: str = param("auto", "where it runs; auto: a GPU where there is one", choices=("auto", "cuda", "cpu"))
    precision: str = param(
        "auto", "of the weights; auto: bf16 on a GPU, float32 on a CPU", choices=("auto", "bf16", "float32")
    )
    image_size: int = param(
        224, "longer side of the picture that the model gets, to the nearest whole patch", unit="px", low=14, high=2048
    )


class ModelSource:
    """A model's folder or id with its config; weights come later.

    Attributes:
        kind: model_type of its config.json. config: as transformers has it.

    Raises:
        InputError: no model is named, torch or transformers are missing, there is no config, or of another kind.
    """

    def __init__(self, settings: EncoderConfig, encoder: str, kinds: Sequence[str]) -> None:
        self.settings = settings
        if not settings.model:
            raise InputError("encoder.model is empty; give the folder or id of a model, facebook/dinov2-small say")
        need("torch", f"encoder '{encoder}'")
        need("transformers", f"encoder '{encoder}'")
        self._name = _folder_or_id(settings.model)
        self._how = {"local_files_only": not settings.download, "trust_remote_code": False}
        import transformers

        self.config = self._loaded(transformers.AutoConfig.from_pretrained)
        self.kind = self.config.model_type
        if self.kind not in kinds:
            known = ", ".join(kinds)
            raise InputError(
                f"encoder.model = {settings.model}: is of kind '{self.kind}'; encoder '{encoder}' takes {known}"
            )

    def model(self) -> Any:
        """The whole model, in eval mode on its device.

        Raises:
            InputError: it cannot be loaded, or weights are missing.
        """
        import torch
        import transformers

        transformers.utils.logging.disable_progress_bar()
        device = device_of(self.settings.device, "encoder.device")
        half = self.settings.precision == "bf16" or (self.settings.precision == "auto" and device == "cuda")
        model, about = self._loaded(
            transformers.AutoModel.from_pretrained,
            output_loading_info=True,
            dtype=torch.bfloat16 if half else torch.float32,
        )
        if about["missing_keys"]:
            few = ", ".join(sorted(about["missing_keys"])[:2])
            raise InputError(
                f"encoder.model = {self.settings.model}: weights are missing ({few}, ...); get the folder again"
            )
        return model.eval().to(device)

    def tokenizer(self) -> Any:
        """The model's tokenizer.

        Raises:
            InputError: there is none.
        """
        import transformers

        return self._loaded(transformers.AutoTokenizer.from_pretrained)

    def normalisation(self) -> tuple[np.ndarray, np.ndarray]:
        """(mean, deviation), (3,) each, of the values 0 to 1.

        Raises:
            InputError: the model's preprocessor_config.json is missing or names none.
        """
        from transformers.image_processing_base import ImageProcessingMixin

        settings, _ = self._loaded(ImageProcessingMixin.get_image_processor_dict)
        try:
            mean, std = (np.array(settings[name], np.float32).reshape(3) for name in ("image_mean", "image_std"))
        except (KeyError, TypeError, ValueError):
            raise InputError(
                f"encoder.model = {self.settings.model}: preprocessor_config.json names no image_mean and image_std of "
                "three values each; get the folder again"
            ) from None
        return mean, std

    def _loaded(self, load: Any, **more: Any) -> Any:
        try:
            return load(self._name, **self._how, **more)
        except Exception as error:  # transformers, safetensors and tokenizers raise of many kinds at a bad folder
            reason = " ".join(str(error).split())[:160]
            local = self.settings.download or Path(self._name).is_dir()
            raise InputError(
                f"encoder.model = {self.settings.model}: cannot be loaded ({type(error).__name__}: {reason}); "
                f"{'check the folder' if local else 'set encoder.download'}"
            ) from None


def need(library: str, what: str) -> None:
    """Raises InputError where a library of the extra ``encoder`` is not installed; ``what``: that needs it."""
    if importlib.util.find_spec(library) is None:
        raise InputError(f"{what} needs {library}; {how_to_install('encoder')}")


def device_of(wanted: str, setting: str) -> str:
    """``cuda`` or ``cpu``.

    Raises:
        InputError: a GPU is wanted and torch sees none.
    """
    import torch

    there = torch.cuda.is_available()
    if wanted == "cuda" and not there:
        raise InputError(f"{setting} = cuda: torch sees no GPU here; set it to cpu")
    return ("cuda" if there else "cpu") if wanted == "auto" else wanted


def _folder_or_id(model: str) -> str:
    """The folder or id by which transformers finds a model.

    Raises:
        InputError: a path without a model's config.
    """
    folder = Path(model).expanduser()
    if folder.is_dir() or model.startswith(("/", ".", "~")):
        if not (folder / "config.json").is_file():
            raise InputError(f"encoder.model = {model}: there is no config.json; give a folder of transformers' form")
        return str(folder)
    return model
