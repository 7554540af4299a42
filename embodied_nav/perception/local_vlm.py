"""A vision-language model of transformers in this process: loaded, asked, its fixed prompt kept. Knows no keyframes.

Qwen2-VL, Qwen2.5-VL, Qwen3-VL and the small ones of SmolVLM's and Idefics3's kind. Image processor and tokenizer are
put together here: transformers' own processors want torchvision, for videos. Decoding is greedy and ends with the JSON
object. The keys and values of the fixed part of the prompt are computed once.
"""

from __future__ import annotations

import copy
import importlib.util
import inspect
import json
import math
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..config import param
from ..errors import InputError
from ..resources import how_to_install
from .backend import PerceptionError, Usage
from .describing import DescribingConfig, Request

if TYPE_CHECKING:
    import torch

#: Kinds of models (model_type of config.json) by how pictures stand in their prompt.
QWEN = ("qwen2_vl", "qwen2_5_vl", "qwen3_vl", "qwen3_vl_moe")
IDEFICS = ("smolvlm", "idefics3")


@dataclass(frozen=True)
class VlmConfig(DescribingConfig):
    """Settings of ``vlm``."""

    model: str = param("", "folder of a model, or its id at Hugging Face (Qwen/Qwen3-VL-2B-Instruct, say)")
    download: bool = param(False, "a model given by id may be downloaded; else it must be in the cache")
    precision: str = param(
        "auto", "of the weights; auto: bf16 on a GPU, float32 on a CPU", choices=("auto", "bf16", "float32", "4bit")
    )
    device: str = param("auto", "where it runs; auto: a GPU where there is one", choices=("auto", "cuda", "cpu"))
    timeout: float = param(30.0, "longest time for an answer", unit="s", low=0.1, high=3600.0)


class LocalVlm:
    """One loaded model.

    Attributes:
        usage: calls and tokens since the start.
        is_cut: whether the last answer ended only because it had all the tokens that it may have.
    """

    def __init__(self, config: VlmConfig, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Raises:
            InputError: torch or transformers are missing, or the model cannot be loaded or is of another kind.
        """
        self.config = config
        self.usage = Usage()
        self.is_cut = False
        self._clock = clock
        loaded = _load(config)
        self._model, self._tokenizer, self._image_processor, self._kind = loaded
        forward = inspect.signature(self._model.forward).parameters
        self._cache_name = "cache" if "cache" in forward else "past_key_values"
        self._takes_types = "mm_token_type_ids" in forward
        self._ends = _end_tokens(self._model, self._tokenizer)
        self._fixed: tuple[list[int], Any] = ([], None)

    def ask(self, request: Request) -> str:
        """The model's answer; :attr:`is_cut` says whether it is whole.

        Raises:
            PerceptionError: none within the time that it has, or the model failed (memory, say).
        """
        import torch

        self.is_cut = False
        end = self._clock() + self.config.timeout
        self.usage.calls += 1
        try:
            with torch.inference_mode():
                return self._answer(request, end)
        except (RuntimeError, ValueError) as error:  # torch.OutOfMemoryError is a RuntimeError, too
            if isinstance(error, PerceptionError):
                raise
            raise PerceptionError(f"vlm {self.config.model}: {' '.join(str(error).split())[:200]}") from None

    def _answer(self, request: Request, end: float) -> str:
        import torch

        pictures = self._pictures(request.images)
        ids = self._token_ids(self._prompt(request), pictures)
        fixed, cache = self._fixed_part(request.system, ids)
        tokens = torch.tensor([ids], device=self._model.device)
        types = (tokens == self._model.config.image_token_id).int()
        positions = self._positions(tokens, types, pictures)
        inputs = dict(pictures)
        if self._takes_types:
            inputs["mm_token_type_ids"] = types[:, fixed:]
        if positions is not None:
            inputs["position_ids"] = positions[..., fixed:]
        logits = self._forward(cache, tokens[:, fixed:], **inputs)
        after = len(ids) if positions is None else int(positions.max()) + 1
        self.usage.prompt_tokens += len(ids)
        return self._decode(logits, cache, after, positions is not None, end)

    def _forward(self, cache: Any, ids: torch.Tensor, **inputs: Any) -> torch.Tensor:
        """Logits (vocabulary) after the last token; the cache grows by the tokens (1xN)."""
        kept = {self._cache_name: cache, "use_cache": True, "logits_to_keep": 1}
        return self._model(input_ids=ids, **inputs, **kept).logits[0, -1]

    def _decode(self, logits: torch.Tensor, cache: Any, after: int, placed: bool, end: float) -> str:
        """The most probable tokens until the answer's end.

        Args:
            after: position of the first new token. placed: positions must be given (of three axes).
        """
        import torch

        found: list[int] = []
        while len(found) < self.config.max_tokens:
            token = int(logits.argmax())
            if token in self._ends:
                break
            found.append(token)
            self.usage.answer_tokens += 1
            if "}" in self._tokenizer.decode([token]) and (whole := _whole_object(self._tokenizer.decode(found))):
                return whole
            if self._clock() > end:
                raise PerceptionError(f"vlm {self.config.model}: no answer within {self.config.timeout:g} s")
            step = torch.tensor([[token]], device=self._model.device)
            place = after + len(found) - 1
            positions = {"position_ids": torch.full((3, 1, 1), place, device=step.device)} if placed else {}
            logits = self._forward(cache, step, **positions)
        else:
            self.is_cut = True
        return str(self._tokenizer.decode(found, skip_special_tokens=True))

    def _prompt(self, request: Request) -> str:
        """The whole prompt as text, one placeholder a picture."""
        content = [*({"type": "image"} for _ in request.images), {"type": "text", "text": _plain(request.text)}]
        return self._chat(request.system, content)

    def _chat(self, system: str, content: list[dict[str, str]]) -> str:
        messages = [
            {"role": "system", "content": [{"type": "text", "text": _plain(system)}]},
            {"role": "user", "content": content},
        ]
        return str(self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True))

    def _pictures(self, images: Sequence[np.ndarray]) -> dict[str, torch.Tensor]:
        """What the model gets of HxWx3 uint8 pictures."""
        from PIL import Image

        more = {"do_image_splitting": False} if self._kind in IDEFICS else {}
        found = self._image_processor(images=[Image.fromarray(image) for image in images], return_tensors="pt", **more)
        wanted = ("pixel_values", "image_grid_thw", "pixel_attention_mask")
        tensors = {name: found[name].to(self._model.device) for name in wanted if name in found}
        return {n: t.to(self._model.dtype) if t.is_floating_point() else t for n, t in tensors.items()}

    def _token_ids(self, prompt: str, pictures: dict[str, torch.Tensor]) -> list[int]:
        """The prompt's tokens, with as many image tokens in place of each placeholder as the picture has features."""
        image = self._tokenizer.convert_ids_to_tokens(self._model.config.image_token_id)
        parts = prompt.split(image)
        grids = pictures.get("image_grid_thw")
        counts = [self._features()] * (len(parts) - 1) if grids is None else [self._features(g) for g in grids.tolist()]
        if len(parts) != len(counts) + 1:
            raise PerceptionError(f"vlm {self.config.model}: its chat template shows {len(parts) - 1} pictures")
        around = ("<fake_token_around_image><global-img>", "<fake_token_around_image>")
        before, behind = around if self._kind in IDEFICS else ("", "")
        text = parts[0] + "".join(before + image * n + behind + part for n, part in zip(counts, parts[1:], strict=True))
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _features(self, grid: Sequence[int] = ()) -> int:
        """Tokens of one picture; ``grid``: its patches in time, height and width, where the model scales with them."""
        config = self._model.config
        if grid:
            return math.prod(grid) // config.vision_config.spatial_merge_size**2
        return int((config.vision_config.image_size // config.vision_config.patch_size) ** 2 / config.scale_factor**2)

    def _positions(
        self, tokens: torch.Tensor, types: torch.Tensor, pictures: dict[str, torch.Tensor]
    ) -> torch.Tensor | None:
        """3x1xN positions of Qwen's three axes; None where a token's place is its number."""
        if self._kind not in QWEN:
            return None
        place = self._model.model.get_rope_index
        given = {"input_ids": tokens, "mm_token_type_ids": types, "image_grid_thw": pictures["image_grid_thw"]}
        known = inspect.signature(place).parameters
        return place(**{name: value for name, value in given.items() if name in known})[0]

    def _fixed_part(self, system: str, ids: list[int]) -> tuple[int, Any]:
        """(tokens of the prompt's fixed part, a cache with their keys and values), computed when it changes."""
        import torch
        from transformers import DynamicCache

        fixed, cache = self._fixed
        if not fixed or ids[: len(fixed)] != fixed:
            probe = self._tokenizer(self._chat(system, [{"type": "text", "text": "?"}]), add_special_tokens=False)
            fixed = _common(ids, list(probe["input_ids"]))
            cache = DynamicCache(config=self._model.config.get_text_config())
            if fixed:
                tokens = torch.tensor([fixed], device=self._model.device)
                places = torch.arange(len(fixed), device=tokens.device).expand(3, 1, -1)
                self._forward(cache, tokens, **({"position_ids": places} if self._kind in QWEN else {}))
            self._fixed = (fixed, cache)
        return len(fixed), copy.deepcopy(cache)


def _common(a: Sequence[int], b: Sequence[int]) -> list[int]:
    """What two sequences begin with alike, without the last token: at least one is left to be asked about."""
    n = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)) - 1)
    return list(a[:n])


def _plain(text: str) -> str:
    """A text in which nothing is a token of the model's own, such as <|im_end|> or <image>."""
    return re.sub(r"<(?=[|/\w])", "< ", text)


def _whole_object(text: str) -> str:
    """The JSON object that a text is, without the code fence that it may begin with; "" while it is none."""
    inner = re.sub(r"^\s*```(?:json)?", "", text)
    try:
        return inner if isinstance(json.loads(inner), dict) else ""
    except (ValueError, RecursionError):
        return ""


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    given = getattr(model.generation_config, "eos_token_id", None)
    ends = given if isinstance(given, list | tuple) else [given]
    return frozenset(int(e) for e in (*ends, tokenizer.eos_token_id) if e is not None)


def look_at(config: VlmConfig) -> tuple[str, str, str]:
    """Name by which transformers finds a model, its kind, and the device; reads no weights.

    Raises:
        InputError: torch or transformers are missing, or there is no such model or device, or it is of another kind.
    """
    if not config.model:
        raise InputError("vlm.model is empty; give the folder or id of a model, Qwen/Qwen3-VL-2B-Instruct say")
    try:
        import torch
        import transformers
    except ImportError as error:
        raise InputError(f"perception 'vlm' needs {error.name}; {how_to_install('vlm')}") from None
    name = _name(config.model)
    device = ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("vlm.device = cuda: torch sees no GPU here; set it to cpu")
    try:
        kind = transformers.AutoConfig.from_pretrained(name, **_chosen(config)).model_type
    except Exception as error:  # transformers raises of many kinds at a bad folder
        raise InputError(_cannot_load(config, error)) from None
    if kind not in (*QWEN, *IDEFICS):
        known = ", ".join((*QWEN, *IDEFICS))
        raise InputError(f"vlm.model = {config.model}: is of kind '{kind}'; give one of {known}")
    if config.precision == "4bit" and importlib.util.find_spec("bitsandbytes") is None:
        raise InputError(f"vlm.precision = 4bit needs bitsandbytes; {how_to_install('vlm')}")
    return name, str(kind), device


def _load(config: VlmConfig) -> tuple[Any, Any, Any, str]:
    """Model, tokenizer, image processor and kind.

    Raises:
        InputError: see :class:`LocalVlm`.
    """
    name, kind, device = look_at(config)
    import transformers

    chosen = _chosen(config)
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(name, **chosen)
        pil = {"use_fast": False} if int(transformers.__version__.split(".")[0]) < 5 else {"backend": "pil"}
        image_processor = transformers.AutoImageProcessor.from_pretrained(name, **chosen, **pil)
        model, about = transformers.AutoModelForImageTextToText.from_pretrained(
            name, output_loading_info=True, **chosen, **_weights(config, device)
        )
    except Exception as error:  # transformers, safetensors and tokenizers raise of many kinds at a bad folder
        raise InputError(_cannot_load(config, error)) from None
    if about["missing_keys"]:
        few = ", ".join(sorted(about["missing_keys"])[:2])
        raise InputError(f"vlm.model = {config.model}: weights are missing ({few}, ...); get the folder again")
    if not tokenizer.chat_template:
        raise InputError(f"vlm.model = {config.model}: has no chat template; give a model for instructions")
    return model.eval(), tokenizer, image_processor, kind


def _chosen(config: VlmConfig) -> dict[str, bool]:
    """What all of a model's files are read with."""
    return {"local_files_only": not config.download, "trust_remote_code": False}


def _name(model: str) -> str:
    """The folder or id by which transformers finds a model.

    Raises:
        InputError: a path without a model's config.
    """
    folder = Path(model).expanduser()
    if folder.is_dir() or model.startswith(("/", ".", "~")):
        if not (folder / "config.json").is_file():
            raise InputError(f"vlm.model = {model}: there is no config.json; give a folder of transformers' form")
        return str(folder)
    return model


def _weights(config: VlmConfig, device: str) -> dict[str, Any]:
    """How the weights are loaded."""
    import torch
    import transformers

    precision = config.precision
    if precision == "auto":
        precision = "bf16" if device == "cuda" else "float32"
    how: dict[str, Any] = {"dtype": torch.float32 if precision == "float32" else torch.bfloat16, "device_map": device}
    if precision == "4bit":
        how["quantization_config"] = transformers.BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16
        )
    return how


def _cannot_load(config: VlmConfig, error: Exception) -> str:
    reason = " ".join(str(error).split())[:160]
    mend = "check the folder" if config.download or Path(config.model).expanduser().is_dir() else "set vlm.download"
    return f"vlm.model = {config.model}: cannot be loaded ({type(error).__name__}: {reason}); {mend}"
