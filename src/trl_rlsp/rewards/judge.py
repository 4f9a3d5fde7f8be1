"""An LLM judge of how a completion explores, instructed to ignore correctness (RLSP, 2502.06773, section 2.2).

`docs/judge.md` describes the requests, their protection and their cost. A failed grade is `None` and counted, never a
number: the paper's code scored a failed judge as 0.5.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from trl_rlsp.errors import ConfigError, ServerError
from trl_rlsp.generation import Reply, ServerClient
from trl_rlsp.problems import DiskCache, cache_folder
from trl_rlsp.rewards.batch import Batch
from trl_rlsp.rewards.exploration import Exploration
from trl_rlsp.rewards.rubric import HIGHEST, Rubric, UnreadableGradesError
from trl_rlsp.text import Reading, effective_length, visible

logger = logging.getLogger(__name__)

BELOW_ONE = 0.99  # the value for the highest grades: like every bounded exploration reward, it is below 1
DEFAULT_OPTIONS: Mapping[str, Any] = {"temperature": 0.0, "max_tokens": 300}

Grades = Mapping[str, int]


class Work(NamedTuple):
    """The input of a judge: a problem and the reasoning before the final answer."""

    problem: str
    reasoning: str


EXAMPLE = Work("Make 18 from 6, 3 and 2.", "6 * 3 = 18, but 2 is left. 6 + 3 = 9 and 9 * 2 = 18, which uses all.")


class JudgeExploration(Exploration):
    r"""Rewards exploration as graded by an LLM: strategies, depth, creativity, persistence.

    The value is `0.99 * mean grade / 10`, with integer grades from 0 to 10; `None` without valid grades. A completion
    without effective reasoning (`trl_rlsp.text.effective_length`) scores 0.0 and is not sent. Identical work on an
    identical problem is graded once. Logs `judge/failed`, `judge/cached` and `judge/latency`.

    Args:
        model: name of the judge on the server; `base_url`, `api_key`, `timeout` and `retries` are as in
            `trl_rlsp.generation.ServerClient`.
        rubric: the dimensions graded; default the four dimensions of RLSP in this project's words.
        cache: file that stores the grades; default `judge.cache` in the package's cache folder, `False` for none.
        concurrency: maximum number of requests in flight, on each rank.
        deadline: seconds for a whole batch; grades missing by then are `None`.
        max_chars: characters of the longest reasoning, and problem, sent in full; the middle of longer ones is cut.
        options: request parameters that override temperature 0 and 300 tokens; `None` removes one, as in
            `{"max_tokens": None, "max_completion_tokens": 2000}`.

    Example:
        >>> judge = JudgeExploration("qwen3-8b", base_url="http://localhost:8000/v1")
        >>> judge(prompts=["6 3 2 : 18"], completions=["\\boxed{18}"])  # no reasoning: nothing is sent
        [0.0]
    """

    __name__ = "judge_exploration"
    can_fail = True

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        rubric: Rubric | None = None,
        cache: str | Path | bool | None = None,
        concurrency: int = 16,
        timeout: float = 60.0,
        retries: int = 3,
        deadline: float = 300.0,
        max_chars: int = 24_000,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        if rubric is not None and not isinstance(rubric, Rubric):
            raise ConfigError(
                f"rubric must be a Rubric, got {rubric!r}; example: Rubric({{'rigour': 'Is each step justified?'}})"
            )
        if max_chars < 100:
            raise ConfigError(f"max_chars must be at least 100 characters, got {max_chars!r}")
        if concurrency < 1 or not deadline > 0:
            raise ConfigError(f"concurrency must be at least 1, deadline above 0 s; got {concurrency!r}, {deadline!r}")
        self.client = ServerClient(model, base_url, api_key=api_key, timeout=timeout, retries=retries)
        self.rubric, self.max_chars = rubric or Rubric(), max_chars
        self.concurrency, self.deadline = concurrency, deadline
        merged = {**DEFAULT_OPTIONS, **(options or {})}
        self.options = {name: value for name, value in merged.items() if value is not None}
        file = cache_folder() / "judge.cache" if cache in (None, True) else Path(str(cache)).expanduser()
        self.cache = None if cache is False else DiskCache(file)

    def __repr__(self) -> str:
        return f"JudgeExploration({self.client.model!r}, base_url={self.client.base_url!r})"

    def scores(self, batch: Batch) -> list[float | None]:
        """B values in [0, 1), `None` for those without valid grades."""
        works = [self._work(reading, prompt) for reading, prompt in batch.rows]
        sent = [work for work in works if work is not None]
        keys = {work: self._key(work) for work in sent}
        stored = self.cache.get(keys.values()) if self.cache is not None and keys else {}
        known = {work: stored[key] for work, key in keys.items() if key in stored}
        asked = [work for work in keys if work not in known]
        replies = self._ask(asked)
        graded = known | self._graded(asked, replies)
        batch.log("judge/failed", [work not in graded for work in sent])
        batch.log("judge/cached", [work in known for work in sent])
        batch.log("judge/latency", [reply.seconds for reply in replies])
        values = {work: BELOW_ONE * sum(grades.values()) / len(grades) / HIGHEST for work, grades in graded.items()}
        return [0.0 if work is None else values.get(work) for work in works]

    def check(self) -> None:
        """Request grades for a short example, bypassing the cache; ServerError without valid grades."""
        where = f"the judge {self.client.model!r} at {self.client.server}"
        (reply,) = self._ask([EXAMPLE])
        if reply.answer is None:
            raise ServerError(f"{where} must answer before training starts, got {reply.error}; check base_url and key")
        try:
            self._read(reply)
        except UnreadableGradesError as error:
            raise ServerError(f"{where} must answer with grades as JSON, got {error}; choose another model") from error

    def _work(self, reading: Reading, prompt: str) -> Work | None:
        """The part of a completion that is sent; `None` without effective reasoning."""
        work = Work(self._shortened(visible(prompt)), self._shortened(visible(reading.reasoning).strip()))
        return work if effective_length(reading, prompt=prompt) else None

    def _shortened(self, text: str) -> str:
        """`text` in valid Unicode, cut to `max_chars`: two thirds of them from the start, one third from the end."""
        text = text.encode("utf-8", "replace").decode()
        if len(text) <= self.max_chars:
            return text
        end = self.max_chars // 3
        return f"{text[: self.max_chars - end]}\n[... {len(text) - self.max_chars} characters ...]\n{text[-end:]}"

    def _ask(self, works: Sequence[Work]) -> list[Reply]:
        requests = [{"messages": self.rubric.messages(*work), **self.options} for work in works]
        schema = {"response_format": self.rubric.response_format()}
        options: Any = {"concurrency": self.concurrency, "deadline": self.deadline, "extras": schema}
        return list(self.client.ask(requests, **options)) if requests else []

    def _graded(self, works: Sequence[Work], replies: Sequence[Reply]) -> dict[Work, Grades]:
        """The grades of the replies with valid grades; they are stored in the cache."""
        graded, failures = dict[Work, Grades](), list[str]()
        for work, reply in zip(works, replies, strict=True):
            try:
                graded[work] = self._read(reply)
            except UnreadableGradesError as error:
                failures.append(str(error))
        if failures:
            logger.warning("%d of %d judge requests failed, the first: %s", len(failures), len(works), failures[0])
        if self.cache is not None:
            self.cache.put({self._key(work): grades for work, grades in graded.items()})
        return graded

    def _read(self, reply: Reply) -> Grades:
        if reply.answer is None:
            raise UnreadableGradesError(reply.error)
        try:
            return self.rubric.read(reply.answer.choices[0].message.content or "")
        except (AttributeError, IndexError, TypeError):
            raise UnreadableGradesError(f"not a chat completion: {str(reply.answer)[:200]!r}") from None

    def _key(self, work: Work) -> str:
        content = [self.client.model, self.options, self.rubric.instructions(), *work]
        written = json.dumps(content, sort_keys=True, default=str)
        return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()
