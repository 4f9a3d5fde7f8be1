"""An LLM as judge of how a completion explores, told to ignore correctness (RLSP, 2502.06773, section 2.2).

What is sent, how it is protected, and what it costs: `docs/judge.md`. A grade that cannot be had is `None` and
counted, never a number: the paper's code counted a failed judge as 0.5.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from trl_rlsp.errors import ConfigError, ServerError
from trl_rlsp.problems import DiskCache, cache_folder
from trl_rlsp.rewards.judge.client import JudgeClient, Reply
from trl_rlsp.rewards.judge.rubric import HIGHEST, Rubric, UnreadableGradesError
from trl_rlsp.rewards.readings import readings_of
from trl_rlsp.text import Reading, effective_length, prompt_text, visible

logger = logging.getLogger(__name__)

BELOW_ONE = 0.99
"""The value of the highest grades: like every bounded exploration reward, this one stays below 1."""

Grades = Mapping[str, int]


class Work(NamedTuple):
    """What a judge sees: a problem and the reasoning before the final answer."""

    problem: str
    reasoning: str


class JudgeExploration:
    r"""Pays for exploration as an LLM grades it: strategies, depth, creativity, persistence.

    The value is `0.99 * mean grade / 10`, grades being integers from 0 to 10. The judge sees neither the final answer
    nor the solution. A completion without effective reasoning (`trl_rlsp.text.effective_length`: a final answer,
    something new before it) is worth 0.0 and is not sent. Equal work on an equal problem is asked about once, and its
    grades are kept on disk.

    Args:
        model: the judge's name at the server.
        base_url: any OpenAI-compatible server, `http(s)://host/v1`; default `$OPENAI_BASE_URL`, else OpenAI.
        api_key: default `$OPENAI_API_KEY`; not pickled and not shown.
        rubric: what is graded; default the four dimensions of RLSP in this project's words.
        cache: file that keeps the grades; default `judge.sqlite3` in the package's cache folder, `False` for none.
        concurrency: most requests in flight at once, on each rank.
        timeout: seconds one try may take.
        retries: further tries after 429, 5xx, timeouts and lost connections, with backoff.
        deadline: seconds a whole batch may take; what is missing then is `None`.
        max_chars: longest reasoning, and longest problem, that is sent; of a longer one the middle is left out.
        options: further request parameters, for instance `{"max_tokens": None, "max_completion_tokens": 2000}`.

    Raises:
        ConfigError: a value out of its range.
        MissingDependencyError: the extra `judge` is not installed.

    Example:
        >>> judge = JudgeExploration("qwen3-8b", base_url="http://localhost:8000/v1")
        >>> judge(prompts=["6 3 2 : 18"], completions=["\\boxed{18}"])  # no reasoning: nothing is sent
        [0.0]
    """

    __name__ = "judge_exploration"
    bounded = takes_readings = True

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
                f"rubric is a Rubric, got {rubric!r}; example: Rubric({{'rigour': 'Is each step justified?'}})"
            )
        if max_chars < 100:
            raise ConfigError(f"max_chars is a number of characters, at least 100, got {max_chars!r}")
        self.client = JudgeClient(
            model,
            base_url=base_url,
            api_key=api_key,
            concurrency=concurrency,
            timeout=timeout,
            retries=retries,
            deadline=deadline,
            options=options,
        )
        self.rubric, self.max_chars = rubric or Rubric(), max_chars
        self.cache = None if cache is False else DiskCache(_cache_path(cache))

    def __repr__(self) -> str:
        return f"JudgeExploration({self.client.model!r}, base_url={self.client.base_url!r})"

    def __call__(
        self,
        prompts: Sequence[Any] | None = None,
        completions: Sequence[Any] = (),
        log_metric: Any = None,
        readings: Sequence[Reading] | None = None,
        **kwargs: Any,
    ) -> list[float | None]:
        """Score a batch.

        Args:
            prompts: B prompts; without them the judge sees the work alone.
            completions: B completions, strings or message lists.
            log_metric: TRL's logger of scalars, if any; receives `judge/failed` and `judge/cached`, shares of the
                completions with reasoning, and `judge/latency`, mean seconds of the requests made.
            readings: the completions as the suite has read them.

        Returns:
            B floats in [0, 1), `None` where no valid grades could be had.
        """
        given = prompts if prompts is not None else [None] * len(completions)
        readings = readings_of(readings, completions, prompts=prompts, log_metric=log_metric, **kwargs)
        works = [self._work(reading, prompt) for reading, prompt in zip(readings, given, strict=True)]
        distinct = list(dict.fromkeys(work for work in works if work is not None))
        known = self._remembered(distinct)
        asked = [work for work in distinct if work not in known]
        replies = self._ask(asked)
        graded = known | self._read(asked, replies)
        self._log(log_metric, [work for work in works if work is not None], known, graded, replies)
        return [0.0 if work is None else self.value(graded.get(work)) for work in works]

    def value(self, grades: Grades | None) -> float | None:
        """The reward of a set of grades, `None` for none."""
        return BELOW_ONE * sum(grades.values()) / len(grades) / HIGHEST if grades is not None else None

    def check(self) -> None:
        """Ask for the grades of a short example, once, past the cache: is there a judge that answers as needed?

        Raises:
            ServerError: it cannot be reached, refuses, or gives no valid grades.
        """
        where = f"the judge {self.client.model!r} at {self.client.server}"
        work = Work("Make 18 from 6, 3 and 2.", "6 * 3 = 18, but 2 is left. 6 + 3 = 9 and 9 * 2 = 18, which uses all.")
        (reply,) = self._ask([work])
        if reply.text is None:
            raise ServerError(f"{where} must answer before training starts, got {reply.error}; check base_url and key")
        try:
            self.rubric.read(reply.text)
        except UnreadableGradesError as error:
            raise ServerError(f"{where} must answer with grades as JSON, got {error}; choose another model") from error

    def _work(self, reading: Reading, prompt: Any) -> Work | None:
        """What is sent of a completion; `None` where there is no effective reasoning."""
        if effective_length(reading, prompt=prompt) == 0:
            return None
        reasoning = visible(reading.reasoning).strip()
        return Work(self._shortened(visible(prompt_text(prompt))), self._shortened(reasoning))

    def _shortened(self, text: str) -> str:
        """`text` in valid Unicode; of a longer one than `max_chars` the first two thirds and the last third of that."""
        text = text.encode("utf-8", "replace").decode()
        if len(text) <= self.max_chars:
            return text
        end = self.max_chars // 3
        return f"{text[: self.max_chars - end]}\n[... {len(text) - self.max_chars} characters ...]\n{text[-end:]}"

    def _ask(self, works: Sequence[Work]) -> list[Reply]:
        chats = [self.rubric.messages(work.problem, work.reasoning) for work in works]
        return self.client.ask(chats, self.rubric.response_format()) if chats else []

    def _read(self, works: Sequence[Work], replies: Sequence[Reply]) -> dict[Work, Grades]:
        graded: dict[Work, Grades] = {}
        failures: list[str] = []
        for work, reply in zip(works, replies, strict=True):
            try:
                if reply.text is None:
                    failures.append(str(reply.error))
                else:
                    graded[work] = self.rubric.read(reply.text)
            except UnreadableGradesError as error:
                failures.append(str(error))
        if failures:
            logger.warning("%d of %d judge requests failed, the first: %s", len(failures), len(works), failures[0])
        if self.cache is not None:
            self.cache.put({self._key(work): grades for work, grades in graded.items()})
        return graded

    def _remembered(self, works: Sequence[Work]) -> dict[Work, Grades]:
        if self.cache is None or not works:
            return {}
        stored = self.cache.get([self._key(work) for work in works])
        remembered: dict[Work, Grades] = {}
        for work in works:
            try:
                remembered[work] = self.rubric.validate(stored.get(self._key(work)))
            except UnreadableGradesError:
                continue
        return remembered

    def _key(self, work: Work) -> str:
        told = [self.client.model, self.client.options, self.rubric.instructions(), *work]
        written = json.dumps(told, sort_keys=True, default=str)
        return hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()

    def _log(
        self,
        log_metric: Any,
        works: Sequence[Work],
        known: Mapping[Work, Grades],
        graded: Mapping[Work, Grades],
        replies: Sequence[Reply],
    ) -> None:
        if log_metric is None or not works:
            return
        log_metric("judge/failed", sum(work not in graded for work in works) / len(works))
        log_metric("judge/cached", sum(work in known for work in works) / len(works))
        if replies:
            log_metric("judge/latency", sum(reply.seconds for reply in replies) / len(replies))


def _cache_path(cache: str | Path | bool | None) -> Path:
    if cache is None or isinstance(cache, bool):
        return cache_folder() / "judge.sqlite3"
    return Path(cache).expanduser()
