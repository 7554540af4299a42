"""The policy ``causal_lm``: any causal language model, in this process or behind an OpenAI-compatible server.

It reads the same text as every policy that reads. A local model is one of transformers by folder or id, a GGUF file in
such a folder included, with a LoRA adapter where one is given; decoding is greedy. Knows nothing of training.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from ..config import Config, param
from ..errors import InputError
from ..perception import PerceptionError
from ..perception.chat_server import ChatServer, ServerConfig
from ..perception.describing import Request
from ..resources import how_to_install
from .options import Context
from .prompt import TASK, format_answer
from .situation import situation

#: Said instead of the task's last sentence where no reasoning is wanted.
_SHORT = "Choose its next move among the options. Answer with one letter alone: <think></think><answer>X</answer>"


@dataclass(frozen=True)
class CausalLMConfig(Config):
    """Settings of the policy ``causal_lm``."""

    model: str = param("", "folder of a model, or its id at Hugging Face (Qwen/Qwen3-1.7B, say); a server's name of it")
    gguf: str = param("", "a GGUF file in that folder, instead of safetensors")
    adapter: str = param("", "folder of a LoRA adapter trained for the model", path=True)
    url: str = param("", "address of an OpenAI-compatible server up to /v1; empty: the model runs in this process")
    key_variable: str = param("", "name of the environment variable that holds the server's key; empty: it wants none")
    download: bool = param(False, "a model given by id may be downloaded; else it must be in the cache")
    precision: str = param(
        "auto", "of the weights; auto: bf16 on a GPU, float32 on a CPU", choices=("auto", "bf16", "float32")
    )
    device: str = param("auto", "where it runs; auto: a GPU where there is one", choices=("auto", "cuda", "cpu"))
    thinking: str = param(
        "auto", "always reasons before it answers; never; auto: where its answer without is less sure than certain; a "
        "server is asked to reason unless it is never",
        choices=("auto", "always", "never"),
    )  # fmt: skip
    certain: float = param(0.9, "probability of an answer from which auto does not reason", low=0.0, high=1.0)
    timeout: float = param(15.0, "longest time for an answer", unit="s", low=0.1, high=600.0)
    max_tokens: int = param(200, "tokens of an answer at most", low=16, high=8192)


class _Model(Protocol):
    """What answers."""

    def complete(self, system: str, text: str, begun: str) -> str:
        """An answer that goes on from what it has begun with."""

    def choose(self, system: str, text: str, begun: str, letters: Sequence[str]) -> tuple[str, float] | None:
        """The likeliest letter after what it has begun with, and its probability among them; None: it cannot tell."""


class CausalLMPolicy:
    """Decides by a language model; where that fails it gives no answer, and the rules decide.

    Args:
        config: settings.

    Raises:
        InputError: the model cannot be loaded, or no model and no server is named.
    """

    name, reads = "causal_lm", True

    def __init__(self, config: CausalLMConfig | None = None) -> None:
        self.config = config or CausalLMConfig()
        self._model: _Model = _Server(self.config) if self.config.url else _Local(self.config)

    @staticmethod
    def check(config: CausalLMConfig | None) -> None:
        """Looks at all that the model needs but its weights.

        Raises:
            InputError: as the constructor does.
        """
        config = config or CausalLMConfig()
        if not config.url:
            look_at(config)

    def answer(self, context: Context) -> str:
        """The model's answer as it wrote it; a line of why in place of one where it failed."""
        config, text = self.config, situation(context)
        letters = [option.letter for option in context.options]
        try:
            if config.thinking != "always":
                found = self._model.choose(_SHORT, text, "<think></think><answer>", letters)
                if found is not None and (config.thinking == "never" or found[1] >= config.certain):
                    return format_answer("", found[0])
            return self._model.complete(_SHORT if config.thinking == "never" else TASK, text, "<think>")
        except PerceptionError as error:
            return f"(no answer: {error})"


class _Server:
    """A model behind a server."""

    def __init__(self, config: CausalLMConfig) -> None:
        self._server = ChatServer(
            ServerConfig(
                url=config.url, model=config.model, key_variable=config.key_variable, form="none",
                timeout=config.timeout, max_tokens=config.max_tokens,
            )
        )  # fmt: skip

    def complete(self, system: str, text: str, begun: str) -> str:
        return self._server.ask(Request(system, text, (), {}))

    def choose(self, system: str, text: str, begun: str, letters: Sequence[str]) -> None:
        return None  # not every server gives probabilities


class _Local:
    """A model of transformers."""

    def __init__(self, config: CausalLMConfig) -> None:
        self._config = config
        self._tokenizer, self._model = load(config)
        self._model.eval()

    def complete(self, system: str, text: str, begun: str) -> str:
        import torch

        ids = self._ids(system, text, begun)
        with torch.inference_mode():
            try:
                found = self._model.generate(
                    input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False,
                    max_new_tokens=self._config.max_tokens, max_time=self._config.timeout,
                    stop_strings=["</answer>"], tokenizer=self._tokenizer, pad_token_id=self._tokenizer.eos_token_id,
                )  # fmt: skip
            except (RuntimeError, ValueError) as error:  # torch.OutOfMemoryError is a RuntimeError, too
                raise PerceptionError(f"causal_lm {self._config.model}: {' '.join(str(error).split())[:200]}") from None
        return begun + str(self._tokenizer.decode(found[0, ids.shape[1] :], skip_special_tokens=True))

    def choose(self, system: str, text: str, begun: str, letters: Sequence[str]) -> tuple[str, float] | None:
        import torch

        tokens = [self._tokenizer(letter, add_special_tokens=False)["input_ids"][-1] for letter in letters]
        if len(set(tokens)) != len(tokens):
            return None
        with torch.inference_mode():
            logits = self._model(input_ids=self._ids(system, text, begun)).logits[0, -1].float()
        shares = logits[tokens].softmax(dim=-1)
        best = int(shares.argmax())
        return letters[best], float(shares[best])

    def _ids(self, system: str, text: str, begun: str) -> Any:
        """1xN tokens of the conversation, with the answer's beginning."""
        import torch

        ids = self._tokenizer(conversation(self._tokenizer, system, text, begun), add_special_tokens=False)["input_ids"]
        return torch.tensor([ids], device=self._model.device)


def load(config: CausalLMConfig) -> tuple[Any, Any]:
    """Tokenizer and model of transformers on their device, an adapter merged in.

    Raises:
        InputError: the model cannot be loaded, or is not for conversations.
    """
    name, device = look_at(config)
    import torch
    import transformers

    transformers.utils.logging.disable_progress_bar()
    half = config.precision == "bf16" or (config.precision == "auto" and device == "cuda")
    how = _how(config)
    tokenizer = _loaded(config, transformers.AutoTokenizer.from_pretrained, name, **how)
    if not tokenizer.chat_template:
        raise InputError(f"causal_lm.model = {config.model}: has no chat template; give a model for instructions")
    model, about = _loaded(
        config, transformers.AutoModelForCausalLM.from_pretrained, name, output_loading_info=True,
        dtype=torch.bfloat16 if half else torch.float32, **how,
    )  # fmt: skip
    if about["missing_keys"]:
        few = ", ".join(sorted(about["missing_keys"])[:2])
        raise InputError(f"causal_lm.model = {config.model}: weights are missing ({few}, ...); get the folder again")
    return tokenizer, (_adapted(config, model) if config.adapter else model).to(device)


def conversation(tokenizer: Any, system: str, text: str, begun: str) -> str:
    """What a model of transformers reads: its chat template around a situation, and the beginning of its answer."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": _plain(text)}]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)) + begun


def look_at(config: CausalLMConfig) -> tuple[str, str]:
    """Name by which transformers finds a model, and the device; reads no weights.

    Raises:
        InputError: nothing is named, a library is missing, or there is no such model, adapter or device.
    """
    if not config.model:
        raise InputError("causal_lm.model is empty; give the folder or id of a model, or causal_lm.url of a server")
    for library in ("torch", "transformers", *(["peft"] if config.adapter else []), *(["gguf"] if config.gguf else [])):
        if importlib.util.find_spec(library) is None:
            raise InputError(f"reasoner 'causal_lm' needs {library}; {how_to_install('causal_lm')}")
    import torch
    import transformers

    folder = Path(config.model).expanduser()
    if config.gguf and not (folder / config.gguf).is_file():
        raise InputError(f"causal_lm.gguf = {config.gguf}: there is no such file in {config.model}")
    local = folder.is_dir() or config.model.startswith(("/", ".", "~"))
    if local and not config.gguf and not (folder / "config.json").is_file():
        raise InputError(
            f"causal_lm.model = {config.model}: there is no config.json; give a folder of transformers' form"
        )
    if config.adapter and not (Path(config.adapter).expanduser() / "adapter_config.json").is_file():
        raise InputError(
            f"causal_lm.adapter = {config.adapter}: there is no adapter_config.json; give a folder of peft's form"
        )
    device = ("cuda" if torch.cuda.is_available() else "cpu") if config.device == "auto" else config.device
    if device == "cuda" and not torch.cuda.is_available():
        raise InputError("causal_lm.device = cuda: torch sees no GPU here; set it to cpu")
    name = str(folder) if folder.is_dir() else config.model
    _loaded(config, transformers.AutoConfig.from_pretrained, name, **_how(config))
    return name, device


def _how(config: CausalLMConfig) -> dict[str, Any]:
    """What all of a model's files are read with."""
    how: dict[str, Any] = {"local_files_only": not config.download, "trust_remote_code": False}
    return how | ({"gguf_file": config.gguf} if config.gguf else {})


def _loaded(config: CausalLMConfig, load: Any, name: str, **how: Any) -> Any:
    try:
        return load(name, **how)
    except Exception as error:  # transformers, safetensors and tokenizers raise of many kinds at a bad folder
        reason = " ".join(str(error).split())[:160]
        mend = "check the folder" if config.download or Path(name).is_dir() else "set causal_lm.download"
        raise InputError(
            f"causal_lm.model = {config.model}: cannot be loaded ({type(error).__name__}: {reason}); {mend}"
        ) from None


def _adapted(config: CausalLMConfig, model: Any) -> Any:
    """The model with its LoRA adapter merged in."""
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, str(Path(config.adapter).expanduser())).merge_and_unload()
    except Exception as error:  # peft and safetensors raise of many kinds where an adapter does not fit
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"causal_lm.adapter = {config.adapter}: does not fit {config.model} ({type(error).__name__}: {reason}); "
            "give the model that it was trained for"
        ) from None


def _plain(text: str) -> str:
    """A text in which nothing is a token of the model's own, such as <|im_end|>."""
    return re.sub(r"<(?=[|/\w])", "< ", text)
