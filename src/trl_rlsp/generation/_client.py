"""The package's one client of OpenAI-compatible servers (vLLM, SGLang, llama.cpp, TGI, a hosted service).

Requests run at once, in an event loop on a thread of its own: it works off the main thread and inside a running loop.
Retries (429, 5xx, timeouts, lost connections, with backoff and `Retry-After`) are those of `openai`.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import time
from collections.abc import Generator, Mapping, Sequence
from threading import Thread
from typing import Any, NamedTuple

from trl_rlsp.errors import ConfigError, MissingDependencyError


class Reply(NamedTuple):
    """What came of one request."""

    answer: Any  # the completion, as `openai` reads it; `None` if there is none
    error: str | None  # why not
    seconds: float  # from the first try to the end, waiting for a free slot not included


class ServerClient:
    """A model behind a server.

    Args:
        model: its name there.
        base_url: `http(s)://host/v1`; default `$OPENAI_BASE_URL`, else OpenAI.
        api_key: default `$OPENAI_API_KEY`; servers without keys need none. It appears in no `repr`, error or pickle,
            so a copy in another process takes it from the environment.
        timeout: seconds one try may take.
        retries: further tries after a failure that may pass.

    Raises ConfigError for a value out of its range, MissingDependencyError without the package `openai`.
    """

    def __init__(
        self,
        model: str,
        base_url: str | None = None,
        *,
        api_key: str | None = None,
        timeout: float = 60.0,
        retries: int = 3,
    ) -> None:
        if not isinstance(model, str) or not model:
            raise ConfigError(f"model is the name the server knows it by, got {model!r}")
        if base_url is not None and not base_url.startswith(("http://", "https://")):
            raise ConfigError(f"a server's URL starts with http:// or https://, got {base_url!r}: http://host:8000/v1")
        if not timeout > 0 or retries < 0:
            raise ConfigError(f"timeout is above 0 seconds and retries at least 0, got {timeout!r} and {retries!r}")
        if importlib.util.find_spec("openai") is None:
            way_out = "pip install 'trl-rlsp[server]', for a judge 'trl-rlsp[judge]'"
            raise MissingDependencyError(f"asking a server needs openai: {way_out}")
        self.model, self.base_url, self._api_key = model, base_url, api_key
        self.timeout, self.retries = timeout, retries
        self._extras_refused = False

    def __repr__(self) -> str:
        return f"ServerClient({self.model!r}, {self.base_url!r})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_api_key": None}

    @property
    def server(self) -> str:
        """Where requests go, in words."""
        return self.base_url or os.environ.get("OPENAI_BASE_URL") or "the OpenAI API"

    def ask(
        self,
        requests: Sequence[Mapping[str, Any]],
        *,
        concurrency: int,
        deadline: float | None = None,
        extras: Mapping[str, Any] | None = None,
    ) -> Generator[Reply, None, None]:
        """One reply a request, in order, each as soon as it is there; closing the iterator cancels the rest.

        `requests` are parameters beside the model, `messages` of a chat or a `prompt`; `concurrency` are in flight at
        once; after `deadline` seconds for all of them a reply has no answer; `extras` are further parameters, left out
        from then on if the server refuses them and answers without.
        """
        from openai import AsyncOpenAI

        options: Any = {"base_url": self.base_url, "timeout": self.timeout, "max_retries": self.retries}
        client = AsyncOpenAI(api_key=self._key(), **options)
        loop, end = asyncio.new_event_loop(), time.monotonic() + (deadline or 0)
        thread = Thread(target=loop.run_forever, name="server-client", daemon=True)
        thread.start()
        free = asyncio.Semaphore(concurrency)
        asked = [self._reply(client, free, request, extras) for request in requests]
        replies = [asyncio.run_coroutine_threadsafe(one, loop) for one in asked]
        try:
            for reply in replies:
                try:
                    yield reply.result(None if deadline is None else max(end - time.monotonic(), 0))
                except TimeoutError:
                    yield Reply(None, f"no answer within the batch's deadline of {deadline:g} s", deadline or 0.0)
        finally:
            asyncio.run_coroutine_threadsafe(_close(client), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    async def _reply(self, client: Any, free: asyncio.Semaphore, request: Mapping[str, Any], extras: Any) -> Reply:
        from openai import OpenAIError

        async with free:
            start = time.perf_counter()
            try:
                answer, error = await self._answer(client, {"model": self.model, **request}, extras), None
            except (OpenAIError, ValueError) as problem:  # ValueError: a body that is not what it says it is
                answer, error = None, f"{type(problem).__name__}: {problem}"
                error = error if self._key() == "none" else error.replace(self._key(), "***")
            return Reply(answer, error, time.perf_counter() - start)

    async def _answer(self, client: Any, request: dict[str, Any], extras: Mapping[str, Any] | None) -> Any:
        from openai import BadRequestError, UnprocessableEntityError

        create = client.chat.completions.create if "messages" in request else client.completions.create
        if extras and not self._extras_refused:
            try:
                return await create(**request, **extras)
            except (BadRequestError, UnprocessableEntityError):
                answer = await create(**request)
                self._extras_refused = True
                return answer
        return await create(**request)

    def _key(self) -> str:
        return self._api_key or os.environ.get("OPENAI_API_KEY") or "none"


async def _close(client: Any) -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    await client.close()
