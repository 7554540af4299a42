"""Lets a slow policy think beside the robot's driving. Knows nothing of maps and of what is decided."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor

from .options import Context
from .policies import Policy


class Beside:
    """One question at a time to a policy, in a thread of its own.

    Args:
        policy: who decides; it is called from that thread alone.

    Attributes:
        context: of the question in hand, else None.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._pool = ThreadPoolExecutor(1, "policy")
        self._future: Future[str] | None = None
        self._since = 0.0
        self.context: Context | None = None

    @property
    def waited(self) -> float:
        """s since the question in hand was asked; 0 where there is none."""
        return 0.0 if self.context is None else time.monotonic() - self._since

    def ask(self, context: Context) -> None:
        """Puts a question. One that is still being thought about is forgotten: its answer will not be given."""
        if self._future is not None:
            self._future.cancel()
        self.context, self._since = context, time.monotonic()
        self._future = self._pool.submit(self._policy.answer, context)

    def forget(self) -> None:
        """Forgets the question in hand."""
        if self._future is not None:
            self._future.cancel()
        self._future, self.context = None, None

    def answer(self) -> tuple[Context, str] | None:
        """The question in hand with its answer, once there is one; then none is in hand.

        Raises:
            Exception: whatever the policy has raised.
        """
        if self._future is None or self.context is None or not self._future.done():
            return None
        context, future = self.context, self._future
        self._future, self.context = None, None
        return context, future.result()

    def close(self) -> None:
        """Ends the thread once it has finished its last thought."""
        self._pool.shutdown(wait=False, cancel_futures=True)
