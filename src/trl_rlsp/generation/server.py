"""The engine for a model behind an OpenAI-compatible server."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any

from trl_rlsp.errors import DataError, SourceError
from trl_rlsp.generation._client import Reply, ServerClient
from trl_rlsp.generation.sampling import Prefixed, Prompts, Request, Sample, Sampling, seed_of

# makes vLLM and SGLang go on with the assistant's last message; other servers do so by themselves, or refuse
CONTINUE = {"continue_final_message": True, "add_generation_prompt": False}


class ServerEngine:
    """Asks a server for one completion a request, `sampling.batch_size` at a time, each under a seed of its own.

    The arguments, their units and errors are those of `ServerClient`; the key is read from `OPENAI_API_KEY`.
    """

    def __init__(self, model: str, url: str, *, timeout: float = 3600.0, retries: int = 5) -> None:
        self.client = ServerClient(model, url, timeout=timeout, retries=retries)

    def count(self, text: str) -> int:
        """Words of a text, in the place of its tokens: the server's tokenizer is not here."""
        return len(re.findall(r"\w+|[^\w\s]", text))

    def sample(self, prompts: Prompts, requests: Sequence[Request], sampling: Sampling) -> Iterator[list[Sample]]:
        """Draw the requested completions; they come in the order asked for, whichever is done first.

        SourceError: the server cannot be reached or refuses; DataError: it answers without a completion or its tokens.
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
                "kept where there is an output_dir, and the same command goes on"
            )
        tokens = getattr(getattr(answer, "usage", None), "completion_tokens", None)
        if not getattr(answer, "choices", None) or tokens is None:
            raise DataError(f"{where} must give `choices` and `usage.completion_tokens`, got {answer}")
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
    """All that the model wrote: reasoning that the server has split off goes back between its marks."""
    if not hasattr(choice, "message"):
        return str(choice.text)
    message, text = choice.message, choice.message.content or ""
    reasoning = getattr(message, "reasoning_content", None) or getattr(message, "reasoning", None)
    closing = "</think>" if text or choice.finish_reason != "length" else ""
    return f"<think>{reasoning}{closing}{text}" if reasoning else text
