"""Perception by a vision-language model behind an OpenAI-compatible server. Knows nothing of the model itself."""

from __future__ import annotations

from .backend import Usage
from .chat_server import ChatServer, ServerConfig
from .describing import DescribingPerception, Request


class ServerPerception(DescribingPerception):
    """Asks vLLM, SGLang, llama.cpp, Ollama or a cloud about each keyframe; see :class:`DescribingPerception`."""

    name = "server"

    def __init__(self, config: ServerConfig | None = None) -> None:
        """
        Raises:
            InputError: an address, key or prompt that cannot be used, or the openai package is missing. An unreachable
                server is none: it may come.
        """
        config = config or ServerConfig()
        super().__init__(config)
        self._server = ChatServer(config)

    @property
    def usage(self) -> Usage:
        """Calls, tokens and cost since the start."""
        return self._server.usage

    def ask(self, request: Request) -> str:
        """The server's answer; see :meth:`ChatServer.ask`."""
        return self._server.ask(request)
