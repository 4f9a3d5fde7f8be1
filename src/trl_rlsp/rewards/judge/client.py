"""Many chat completions from an OpenAI-compatible server at once, within a deadline.

Promises: a request that fails is an answer without text and with a reason; a batch ends at its deadline; it works
off the main thread and inside a running event loop, because each batch has a thread and an event loop of its own.
Retries (429, 5xx, timeouts, lost connections, with backoff and `Retry-After`) are those of the `openai` client. Knows
nothing of grades.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple

from trl_rlsp.errors import ConfigError, MissingDependencyError

if TYPE_CHECKING:
    from openai import AsyncOpenAI

Chat = Sequence[Mapping[str, str]]

DEFAULT_OPTIONS: Mapping[str, Any] = {"temperature": 0.0, "max_tokens": 300}
"""Sent with each request; a server's own names for them can replace them."""


class Reply(NamedTuple):
    """What came of one request.

    Attributes:
        text: the answer, `None` if there is none.
        error: why not, `None` if there is one.
        seconds: from the first try to the end, waiting for a free slot not included.
    """

    text: str | None
    error: str | None
    seconds: float


class JudgeClient:
    """A model behind a server.

    Args:
        model: its name there.
        base_url: `http(s)://host/v1`; default `$OPENAI_BASE_URL`, else OpenAI.
        api_key: default `$OPENAI_API_KEY`; servers without keys need none. It appears in no `repr` and no pickle, so
            a copy in another process takes it from the environment.
        concurrency: most requests in flight at once.
        timeout: seconds one try may take.
        retries: further tries after a failure that may pass.
        deadline: seconds a whole batch may take.
        options: request parameters beside the messages, laid over `DEFAULT_OPTIONS`; `None` removes one.

    Raises:
        ConfigError: a value out of its range.
        MissingDependencyError: the package `openai` is not installed.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        concurrency: int = 16,
        timeout: float = 60.0,
        retries: int = 3,
        deadline: float = 300.0,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if not isinstance(model, str) or not model:
            raise ConfigError(f"model is the name the server knows the judge by, got {model!r}")
        if base_url is not None and not base_url.startswith(("http://", "https://")):
            raise ConfigError(
                f"base_url starts with http:// or https://, got {base_url!r}; example: http://host:8000/v1"
            )
        if concurrency < 1 or retries < 0:
            raise ConfigError(f"concurrency is at least 1 and retries at least 0, got {concurrency!r} and {retries!r}")
        if not (timeout > 0 and deadline > 0):
            raise ConfigError(f"timeout and deadline are seconds above 0, got {timeout!r} and {deadline!r}")
        if importlib.util.find_spec("openai") is None:
            raise MissingDependencyError("a judge needs the package `openai`; pip install 'trl-rlsp[judge]'")
        self.model, self.base_url, self._api_key = model, base_url, api_key
        self.concurrency, self.timeout, self.retries, self.deadline = concurrency, timeout, retries, deadline
        merged = {**DEFAULT_OPTIONS, **(options or {})}
        self.options = {name: value for name, value in merged.items() if value is not None}
        self._structured = True

    def __repr__(self) -> str:
        return f"JudgeClient({self.model!r}, base_url={self.base_url!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_api_key": None}

    @property
    def server(self) -> str:
        """Where requests go, in words."""
        return self.base_url or os.environ.get("OPENAI_BASE_URL") or "the OpenAI API"

    def ask(self, chats: Sequence[Chat], response_format: Mapping[str, Any]) -> list[Reply]:
        """One reply for each chat, in order.

        Args:
            chats: messages of each request.
            response_format: asked for; left out from then on if the server refuses it and answers without.
        """
        if not chats:
            return []
        with ThreadPoolExecutor(1, thread_name_prefix="judge") as thread:
            return thread.submit(asyncio.run, self._ask_all(chats, response_format)).result()

    async def _ask_all(self, chats: Sequence[Chat], response_format: Mapping[str, Any]) -> list[Reply]:
        from openai import AsyncOpenAI

        free = asyncio.Semaphore(self.concurrency)
        async with AsyncOpenAI(
            api_key=self._key(), base_url=self.base_url, timeout=self.timeout, max_retries=self.retries
        ) as client:
            tasks = [asyncio.create_task(self._ask(client, free, chat, response_format)) for chat in chats]
            _, late = await asyncio.wait(tasks, timeout=self.deadline)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        missed = Reply(None, f"no answer within the batch's deadline of {self.deadline:g} s", self.deadline)
        return [missed if task in late else task.result() for task in tasks]

    async def _ask(
        self, client: AsyncOpenAI, free: asyncio.Semaphore, chat: Chat, response_format: Mapping[str, Any]
    ) -> Reply:
        from openai import OpenAIError

        async with free:
            start = time.perf_counter()
            try:
                text, error = await self._complete(client, chat, response_format), None
            except (OpenAIError, ValueError) as problem:  # ValueError: a body that is not what it says it is
                text, error = None, self._without_key(f"{type(problem).__name__}: {problem}")
            return Reply(text, error, time.perf_counter() - start)

    async def _complete(self, client: AsyncOpenAI, chat: Chat, response_format: Any) -> str:
        from openai import BadRequestError, UnprocessableEntityError

        request: dict[str, Any] = {**self.options, "model": self.model, "messages": list(chat)}
        if self._structured:
            try:
                return _text(await client.chat.completions.create(**request, response_format=response_format))
            except (BadRequestError, UnprocessableEntityError):
                text = _text(await client.chat.completions.create(**request))
                self._structured = False
                return text
        return _text(await client.chat.completions.create(**request))

    def _key(self) -> str:
        return self._api_key or os.environ.get("OPENAI_API_KEY") or "none"

    def _without_key(self, text: str) -> str:
        return text.replace(self._key(), "***") if self._key() != "none" else text


def _text(completion: Any) -> str:
    """The text of a chat completion; ValueError if the server sent something else."""
    try:
        text = completion.choices[0].message.content
    except (AttributeError, IndexError, TypeError):
        raise ValueError(f"not a chat completion: {str(completion)[:200]!r}") from None
    if not isinstance(text, str) or not text.strip():
        raise ValueError("a chat completion without text")
    return text
