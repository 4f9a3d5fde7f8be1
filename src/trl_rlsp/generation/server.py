"""Models behind OpenAI-compatible servers (vLLM, SGLang, llama.cpp, TGI, a hosted service): a client and an engine.

Requests run concurrently in an event loop on a separate thread, so callers may be on any thread or in a running loop.
Retries (429, 5xx, timeouts, lost connections, with backoff and `Retry-After`) are those of `openai`.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import re
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import KW_ONLY, dataclass, field
from threading import Thread
from typing import Any, NamedTuple

from trl_rlsp.errors import ConfigError, DataError, MissingDependencyError, SourceError
from trl_rlsp.generation.sampling import Prefixed, Prompts, Request, Sample, Sampling, seed_of

# makes vLLM and SGLang continue the assistant's last message; other servers do so by default, or refuse
CONTINUE = {"continue_final_message": True, "add_generation_prompt": False}


class Reply(NamedTuple):
    """The result of one request."""

    answer: Any  # the completion, as parsed by `openai`; `None` if there is none
    error: str | None  # why there is no completion
    seconds: float  # from the first attempt to the end, without the wait for a free slot


@dataclass(eq=False)
class ServerClient:
    """A client for one model on an OpenAI-compatible server.

    Args:
        model: name of the model on the server.
        base_url: `http(s)://host/v1`; default `$OPENAI_BASE_URL`, else OpenAI.
        api_key: default `$OPENAI_API_KEY`; servers without keys need none. It never appears in a `repr`, error or
            pickle, so a copy in another process reads it from the environment.
        timeout: maximum seconds per attempt.
        retries: further attempts after a transient failure.

    Raises ConfigError for a value out of range, MissingDependencyError without the package `openai`.
    """

    model: str
    base_url: str | None = None
    _: KW_ONLY
    api_key: str | None = field(default=None, repr=False)
    timeout: float = 60.0
    retries: int = 3
    _extras_refused: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.model, str) or not self.model:
            raise ConfigError(f"model must be the name of the model on the server, got {self.model!r}")
        if self.base_url is not None and not self.base_url.startswith(("http://", "https://")):
            got = f"{self.base_url!r}: http://host:8000/v1"
            raise ConfigError(f"a server's URL must start with http:// or https://, got {got}")
        if not self.timeout > 0 or self.retries < 0:
            got = f"{self.timeout!r} and {self.retries!r}"
            raise ConfigError(f"timeout must be above 0 seconds and retries at least 0, got {got}")
        if importlib.util.find_spec("openai") is None:
            way_out = "pip install 'trl-rlsp[server]', for a judge 'trl-rlsp[judge]'"
            raise MissingDependencyError(f"requests to a server need openai: {way_out}")

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "api_key": None}

    @property
    def server(self) -> str:
        """The address that requests go to, for messages."""
        return self.base_url or os.environ.get("OPENAI_BASE_URL") or "the OpenAI API"

    def ask(
        self,
        requests: Sequence[Mapping[str, Any]],
        *,
        concurrency: int,
        deadline: float | None = None,
        extras: Mapping[str, Any] | None = None,
    ) -> Generator[Reply, None, None]:
        """Yield one reply per request, in order, each as soon as it arrives; closing the iterator cancels the rest.

        Each of `requests` holds the parameters besides the model: `messages` of a chat, or a `prompt`. At most
        `concurrency` are in flight. Replies missing `deadline` seconds after the start have no answer. `extras` are
        further parameters; they are no longer sent once the server has refused them and answered without them.
        """
        from openai import AsyncOpenAI

        key, url = self._key(), self.base_url
        client = AsyncOpenAI(api_key=key, base_url=url, timeout=self.timeout, max_retries=self.retries)
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
            except (OpenAIError, ValueError) as problem:  # ValueError: a body that does not match its content type
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
        return self.api_key or os.environ.get("OPENAI_API_KEY") or "none"


async def _close(client: Any) -> None:
    rest = asyncio.all_tasks() - {asyncio.current_task()}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    await client.close()


class ServerEngine:
    """Requests completions from a server, `sampling.batch_size` at a time, each with its own seed.

    Arguments, units and errors are those of `ServerClient`; the key is read from `OPENAI_API_KEY`.
    """

    def __init__(self, model: str, url: str, *, timeout: float = 3600.0, retries: int = 5) -> None:
        self.client = ServerClient(model, url, timeout=timeout, retries=retries)

    def count(self, text: str) -> int:
        """Number of words of a text: the server's tokenizer is not available, so tokens cannot be counted."""
        return len(re.findall(r"\w+|[^\w\s]", text))

    def sample(self, prompts: Prompts, requests: Sequence[Request], sampling: Sampling) -> Iterator[list[Sample]]:
        """Draw the requested completions; yields them in the order of `requests`.

        SourceError: the server cannot be reached or refuses; DataError: a response lacks a completion or token count.
        """
        asked = [Prefixed.of(prompts[request.prompt], sampling) for request in requests]
        parameters = [_parameters(one, request, sampling) for one, request in zip(asked, requests, strict=True)]
        with closing(self.client.ask(parameters, concurrency=sampling.batch_size)) as replies:
            for request, one, reply in zip(requests, asked, replies, strict=True):
                yield [self._sample(one, request, reply)]

    def _sample(self, asked: Prefixed, request: Request, reply: Reply) -> Sample:
        answer = reply.answer
        where = f"the server at {self.client.server}"
        if answer is None:
            raise SourceError(
                f"{where} did not answer for model {self.client.model!r}: {reply.error}; samples already drawn are "
                "kept if there is an output_dir; run the same command to continue"
            )
        tokens = getattr(getattr(answer, "usage", None), "completion_tokens", None)
        if not getattr(answer, "choices", None) or tokens is None:
            raise DataError(f"{where} must return `choices` and `usage.completion_tokens`, got {answer}")
        choice = answer.choices[0]
        text = "".join(asked.parts) + choice_text(choice)
        return asked.sample(request, text, tokens, choice.finish_reason == "length")


def _parameters(asked: Prefixed, request: Request, sampling: Sampling) -> dict[str, Any]:
    options = {"temperature": sampling.temperature, "top_p": sampling.top_p, "max_tokens": asked.limit}
    options["seed"] = seed_of(sampling.seed, request)
    begun = "".join(asked.parts)
    if isinstance(asked.prompt, str):
        return {"prompt": asked.prompt + begun, **options}
    if begun:
        return {"messages": [*asked.prompt, {"role": "assistant", "content": begun}], "extra_body": CONTINUE, **options}
    return {"messages": asked.prompt, **options}


def choice_text(choice: Any) -> str:
    """Everything that the model wrote; reasoning that the server has split off is put back between its tags."""
    if not hasattr(choice, "message"):
        return str(choice.text)
    message, text = choice.message, choice.message.content or ""
    reasoning = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
    closing = "</think>" if text or choice.finish_reason != "length" else ""
    return f"<think>{reasoning}{closing}{text}" if reasoning else text
