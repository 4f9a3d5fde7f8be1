"""The engine for a model behind an OpenAI-compatible server (vLLM, SGLang, llama.cpp, TGI, a hosted service)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from trl_rlsp.errors import ConfigError, DataError, MissingDependencyError, SourceError
from trl_rlsp.generation.sampling import Prefixed, Prompts, Request, Sample, Sampling, limit_of, sample_of, seed_of

CONTINUE = {"continue_final_message": True, "add_generation_prompt": False}
"""Makes vLLM and SGLang go on with the assistant's last message; other servers do so by themselves, or refuse."""


class ServerEngine:
    """Asks a server for one completion a request, `sampling.batch_size` at a time, each under a seed of its own.

    The key is read from `OPENAI_API_KEY`; servers of one's own need none.

    Args:
        model: the name under which the server knows the model.
        url: base address of its API, such as `http://localhost:8000/v1`.
        timeout: seconds for one completion.
        retries: attempts after the first for errors that may pass (connection, 408, 409, 429, 5xx).

    Raises:
        ConfigError: an address that is none.
        MissingDependencyError: the client is not installed.
    """

    def __init__(self, model: str, url: str, *, timeout: float = 3600.0, retries: int = 5) -> None:
        if not url.startswith(("http://", "https://")):
            raise ConfigError(f"server_url is an address such as http://localhost:8000/v1, got {url!r}")
        try:
            import openai
        except ImportError as error:
            raise MissingDependencyError("engine 'server' needs openai: pip install 'trl-rlsp[server]'") from error
        self.model = model
        self.url = url
        self.failures = (openai.OpenAIError,)
        key = os.environ.get("OPENAI_API_KEY") or "none"
        self.client = openai.OpenAI(base_url=url, api_key=key, timeout=timeout, max_retries=retries)

    def count(self, text: str) -> int:
        """Words of a text, in the place of its tokens: the server's tokenizer is not here."""
        return len(re.findall(r"\w+|[^\w\s]", text))

    def sample(self, prompts: Prompts, requests: Sequence[Request], sampling: Sampling) -> Iterator[list[Sample]]:
        """Draw the requested completions; they come in the order asked for, whichever is done first.

        Raises:
            SourceError: the server cannot be reached or refuses.
            DataError: it answers without a completion or without counting its tokens.
        """
        threads = ThreadPoolExecutor(sampling.batch_size, thread_name_prefix="completion")
        try:
            for future in [threads.submit(self._ask, prompts[r.prompt], r, sampling) for r in requests]:
                yield [future.result()]
        finally:
            threads.shutdown(wait=False, cancel_futures=True)

    def _ask(self, prompt: Any, request: Request, sampling: Sampling) -> Sample:
        options: dict[str, Any] = {
            "model": self.model,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "max_tokens": limit_of(prompt, sampling),
            "seed": seed_of(sampling.seed, request),
        }
        asked, begun = (prompt.prompt, "".join(prompt.parts)) if isinstance(prompt, Prefixed) else (prompt, "")
        try:
            if isinstance(asked, str):
                answer: Any = self.client.completions.create(prompt=asked + begun, **options)
            else:
                if begun:
                    asked = [*asked, {"role": "assistant", "content": begun}]
                    options["extra_body"] = CONTINUE
                answer = self.client.chat.completions.create(messages=asked, **options)
        except self.failures as error:
            raise SourceError(
                f"the server at {self.url} did not answer for model {self.model!r}: {error}; samples already drawn are "
                "kept where there is an output_dir, and the same command goes on"
            ) from error
        tokens = getattr(answer.usage, "completion_tokens", None)
        if not answer.choices or tokens is None:
            raise DataError(f"the server at {self.url} must give `choices` and `usage.completion_tokens`, got {answer}")
        choice = answer.choices[0]
        return sample_of(request, prompt, begun + choice_text(choice), tokens, choice.finish_reason == "length")


def choice_text(choice: Any) -> str:
    """All that the model wrote: reasoning that the server has split off goes back between its marks."""
    if not hasattr(choice, "message"):
        return str(choice.text)
    message = choice.message
    reasoning = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
    text = message.content or ""
    if not reasoning:
        return text
    closed = f"<think>{reasoning}</think>" if text or choice.finish_reason != "length" else f"<think>{reasoning}"
    return f"{closed}{text}"
