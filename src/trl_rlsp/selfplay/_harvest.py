"""From logged completions to demonstrations: verified, finished, novel, without duplicates, at most k a problem.

A completion that was cut off at the token limit either gives no final answer or goes on after it; both are refused,
so that no token count is needed. A completion that spells out the control tokens of a chat template is refused too:
in a training text they would start a turn of their own.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.problems import completion_text, problem_key
from trl_rlsp.runs import Completion, question
from trl_rlsp.selfplay._sources import Demonstrated, HeldOut
from trl_rlsp.text import Gram, distance, folded_words, ngrams, read

if TYPE_CHECKING:
    from trl_rlsp.rewards import OutcomeVerifier

Preference = Literal["shortest", "diverse"]

NGRAM = 4
"""Words of the n-grams by which two traces are compared."""

CHUNK = 1000
"""Completions verified in one call; the verifier limits the seconds of a call."""

AFTER_ANSWER = 40
"""Words that may follow the answer (`7 apples, as we wanted to know.`); more is going on."""

CONTROL = re.compile(
    r"<\|[^<>|\s]{1,40}\|>|<(?:user|assistant|system|tool|eos|bos|pad|unk)>|</?s>|\[/?INST\]|<(?:start|end)_of_turn>",
    re.IGNORECASE,
)
"""Control tokens of the usual chat templates, and of the quickstart's tokenizer."""

SURROGATE = re.compile("[\ud800-\udfff]")
"""Half a character, which no UTF-8 file can hold."""

NO_ANSWER = {"no_answer": "no final answer", "several_answers": "several answers", "unfinished": "cut off"}


@dataclass(frozen=True)
class Judged:
    """A logged completion with its problem and its verdict.

    Attributes:
        completion: as logged.
        row: its row of `load_problems`; `None` if the problem is not known.
        key: what completions of the same problem share, see `problem_key`.
        score: 1.0, 0.0, a share, or `None` where it is not scorable.
        verdict: the verifier's reason, or `logged` where the score is the one of the log.
    """

    completion: Completion
    row: Mapping[str, Any] | None
    key: str
    score: float | None
    verdict: str

    @property
    def prompt(self) -> Any:
        """The prompt as the data set has it, else as it was logged; messages stay messages."""
        return self.row["prompt"] if self.row is not None else self.completion.prompt


def judge(
    completions: Sequence[Completion], problems: Iterable[Mapping[str, Any]], verifier: OutcomeVerifier
) -> list[Judged]:
    """Verify completions whose problem is known, from rows of `load_problems`; the others keep the score of the log.

    A completion is of the problem that its prompt asks, where that was logged, else of the one with its index.
    """
    rows = [dict(row) for row in problems]
    by_text = {question(row["prompt"]): row for row in reversed(rows)}
    judged = []
    for completion in completions:
        numbered = completion.step is None and completion.problem.isdecimal() and int(completion.problem) < len(rows)
        row = rows[int(completion.problem)] if numbered else None
        row = by_text.get(completion.question, row) if completion.prompt else row
        posed = row or {"prompt": completion.prompt}
        key = problem_key(posed) if posed["prompt"] else f"problem {completion.problem}"
        judged.append(Judged(completion, row, key, completion.score, "logged"))
    known = [index for index, item in enumerate(judged) if item.row is not None]
    for start in range(0, len(known), CHUNK):
        chunk = [judged[index] for index in known[start : start + CHUNK]]
        columns = {name: [(item.row or {}).get(name) for item in chunk] for name in ("solution", "task", "tests")}
        texts, prompts = [item.completion.text for item in chunk], [item.prompt for item in chunk]
        verdicts = verifier.verdicts(texts, prompts=prompts, **columns)
        for index, verdict in zip(known[start : start + CHUNK], verdicts, strict=True):
            judged[index] = replace(judged[index], score=verdict.score, verdict=verdict.reason)
    return judged


def solve_rates(judged: Iterable[Judged]) -> dict[str, float]:
    """Key of each problem with a scorable completion -> mean score of these."""
    scores: dict[str, list[float]] = {}
    for item in judged:
        if item.score is not None:
            scores.setdefault(item.key, []).append(item.score)
    return {key: sum(values) / len(values) for key, values in scores.items()}


@dataclass(frozen=True)
class Trace:
    """A completion that can be a demonstration.

    Attributes:
        reasoning: the completion as it is where it ends in its boxed answer, else what comes before the answer;
            together with `answer` a row for `rlsp sft`.
        answer: the final answer as written.
        before: what comes before the answer.
    """

    reasoning: str
    answer: str
    before: str


def read_trace(text: str, *, messages: int = 1, finished: bool | None = None) -> Trace | str:
    r"""A completion of so many messages, recorded as finished or not, as a trace, or the reason why it is none.

    Example:
        >>> read_trace(r"3 + 4 = 7, so \boxed{7}.").answer
        '7'
        >>> read_trace("3 + 4 = 7")
        'no final answer'
    """
    if messages != 1:
        return "several messages"
    if CONTROL.search(text):
        return "control tokens"
    if SURROGATE.search(text):
        return "broken text"
    parsed = read(text)
    if parsed.answer is None:
        return NO_ANSWER[parsed.reason or "no_answer"]
    rest = folded_words(text[len(parsed.reasoning) :])
    if finished is False or len(rest) - len(folded_words(parsed.answer)) > AFTER_ANSWER:
        return "cut off"
    if not parsed.reasoning.strip():
        return "no reasoning"
    answer = parsed.answer.strip()
    reasoning = _as_demonstration(text.strip(), parsed.reasoning.strip(), answer)
    return Trace(reasoning, answer, parsed.reasoning) if reasoning else "several answers"


def _as_demonstration(whole: str, before: str, answer: str) -> str | None:
    """The reasoning that `rlsp sft` turns back into a completion with this answer."""
    for reasoning in (whole, before):
        try:
            written = completion_text(reasoning, answer)
        except DataError:
            continue
        if (written == whole or reasoning == before) and read(written).answer is not None:
            return reasoning
    return None


@dataclass(frozen=True)
class Harvest:
    """Demonstrations, and what became of every completion.

    Attributes:
        rows: `prompt`, `reasoning`, `answer` and `provenance` of each demonstration.
        read: completions looked at.
        dropped: reason -> how many completions were dropped for it, the first that applies.
        problems: problems that have a demonstration.
    """

    rows: Sequence[Mapping[str, Any]]
    read: int
    dropped: Mapping[str, int]
    problems: int

    def counts(self) -> dict[str, Any]:
        """The counts, for a file."""
        return {"read": self.read, "kept": len(self.rows), "problems": self.problems, "dropped": dict(self.dropped)}


def harvest(
    judged: Sequence[Judged],
    *,
    demonstrated: Demonstrated | None = None,
    held_out: HeldOut | None = None,
    per_problem: int = 2,
    prefer: Preference = "diverse",
    run: str = "",
) -> Harvest:
    """Choose demonstrations among completions; their order has no influence, and harvesting twice gives the same rows.

    Args:
        judged: completions with their verdicts.
        demonstrated: the demonstrations that the model was trained on.
        held_out: the problems of the evaluation sets.
        per_problem: demonstrations of one problem, at most.
        prefer: which of them; see `select`.
        run: name of the run, for the provenance.

    Raises:
        DataError: nothing is left; the message says what became of the completions.
        ConfigError: `per_problem` or `prefer` that cannot work.
    """
    demonstrated, held_out = demonstrated or Demonstrated([]), held_out or HeldOut([])
    dropped: Counter[str] = Counter()
    problems: dict[str, dict[Gram, tuple[Judged, Trace]]] = {}
    contaminated: dict[str, bool] = {}
    for item in sorted(
        judged, key=lambda j: (j.completion.step or 0, j.completion.file, j.completion.sample, j.completion.text)
    ):
        found = _trace(item)
        if isinstance(found, Trace):
            if item.key not in contaminated:
                contaminated[item.key] = held_out.has({**(item.row or {}), "prompt": item.prompt})
            content = folded_words(found.before) + folded_words(found.answer)
            if contaminated[item.key]:
                found = "held-out problem"
            elif content in problems.setdefault(item.key, {}):
                found = "duplicate"
            else:
                problems[item.key][content] = (item, found)
        if isinstance(found, str):
            dropped[found] += 1
    rows: list[dict[str, Any]] = []
    having = 0
    for _, candidates in sorted(problems.items()):
        reasons = [demonstrated.known(item.prompt, trace.before) for item, trace in candidates.values()]
        dropped.update(reason for reason in reasons if reason)
        novel = [found for found, reason in zip(candidates.values(), reasons, strict=True) if not reason]
        chosen = select([trace for _, trace in novel], per_problem, prefer)
        dropped["more than per_problem"] += len(novel) - len(chosen)
        rows += [_demonstration(*novel[index], run) for index in chosen]
        having += bool(chosen)
    counts = {reason: count for reason, count in dropped.most_common() if count}
    if not rows:
        reasons_given = ", ".join(f"{reason} {count}" for reason, count in counts.items()) or "there is none"
        raise DataError(
            f"nothing to harvest: of {len(judged)} completions every one was dropped ({reasons_given}); train longer, "
            "lower --novelty, or give the data set with --dataset where completions are not scorable"
        )
    return Harvest(rows, len(judged), counts, having)


def _place(item: Judged) -> tuple[int, str, int, str]:
    return item.completion.step or 0, item.completion.file, item.completion.sample, item.completion.text


def _trace(item: Judged) -> Trace | str:
    """The trace of a completion, or why there is none."""
    if item.score != 1.0:
        return "not scorable" if item.score is None else "not right"
    if item.prompt is None:
        return "prompt unknown"
    completion = item.completion
    return read_trace(completion.text, messages=completion.messages, finished=completion.finished)


def _demonstration(item: Judged, trace: Trace, run: str) -> dict[str, Any]:
    """A row that `rlsp sft --demonstrations file` takes, with where it comes from."""
    completion = item.completion
    return {
        "prompt": item.prompt,
        "reasoning": trace.reasoning,
        "answer": trace.answer,
        "provenance": {
            "run": run,
            "file": completion.file,
            "sha256": completion.sha256,
            "step": completion.step,
            "index": completion.sample,
            "rewards": dict(completion.rewards),
            "verdict": item.verdict,
        },
    }


def select(traces: Sequence[Trace], most: int, prefer: Preference) -> list[int]:
    """Indices of at most so many traces of one problem, in order of choice, which does not depend on theirs.

    Args:
        traces: traces without duplicates.
        most: how many to choose at most.
        prefer: `"shortest"` by words of reasoning; `"diverse"` starts with the shortest and then always takes the
            trace whose nearest neighbor among those taken is farthest (Jaccard distance of 4-grams).
    """
    if most < 1:
        raise ConfigError(f"per_problem is at least 1, got {most}")
    if prefer not in get_args(Preference):
        raise ConfigError(f"prefer is 'shortest' or 'diverse', got {prefer!r}")
    spelled = [folded_words(trace.before) for trace in traces]
    rest = sorted(range(len(traces)), key=lambda i: (len(spelled[i]), spelled[i], traces[i].reasoning))
    if prefer == "shortest":
        return rest[:most]
    grams = [ngrams(sequence, NGRAM) for sequence in spelled]
    chosen: list[int] = []
    while rest and len(chosen) < most:
        # the first of the farthest: ties go to the shorter trace
        farthest = max(rest, key=lambda i: min((distance(grams[i], grams[j]) for j in chosen), default=0.0))
        rest.remove(farthest)
        chosen.append(farthest)
    return chosen
