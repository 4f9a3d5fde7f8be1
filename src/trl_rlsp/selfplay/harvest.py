"""From judged completions to demonstrations: verified, finished, novel, without duplicates, at most k a problem.

Every completion is either kept or dropped for one reason, the first that applies; the counts add up. The result does
not depend on the order in which the completions come, and harvesting twice gives the same rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.selfplay.judging import Judged
from trl_rlsp.selfplay.known import Demonstrated, HeldOut
from trl_rlsp.selfplay.trace import Trace, read_trace
from trl_rlsp.text import Gram, distance, folded_words, ngrams

Candidate = tuple[Judged, Trace]
Preference = Literal["shortest", "diverse"]

NGRAM = 4
"""Words of the n-grams by which two traces are compared."""


@dataclass(frozen=True)
class Harvest:
    """Demonstrations, and what became of every completion.

    Attributes:
        rows: `prompt`, `reasoning`, `answer` and `provenance` of each demonstration.
        read: completions looked at.
        dropped: reason -> how many completions were dropped for it.
        problems: problems that have a demonstration.
    """

    rows: Sequence[Mapping[str, Any]]
    read: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    problems: int = 0

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
    """Choose demonstrations among completions.

    Args:
        judged: completions with their verdicts.
        demonstrated: the demonstrations that the model was trained on.
        held_out: the problems of the evaluation sets.
        per_problem: demonstrations of one problem, at most.
        prefer: which of them; see `select`.
        run: name of the run, for the provenance.

    Returns:
        The harvest; the rows in order of their problems' keys.

    Raises:
        DataError: nothing is left; the message says what became of the completions.
        ConfigError: `per_problem` or `prefer` that cannot work.
    """
    dropped: Counter[str] = Counter()
    demonstrated, held_out = demonstrated or Demonstrated([]), held_out or HeldOut([])
    problems: dict[str, dict[Gram, Candidate]] = {}
    contaminated: dict[str, bool] = {}
    for item in sorted(judged, key=_place):
        found = _candidate(item, contaminated, held_out)
        if isinstance(found, str):
            dropped[found] += 1
            continue
        content = found.words + folded_words(found.answer)
        if content in problems.setdefault(item.key, {}):
            dropped["duplicate"] += 1
        else:
            problems[item.key][content] = (item, found)
    rows, having = [], 0
    for _, traces in sorted(problems.items()):
        novel = _novel(traces.values(), demonstrated, dropped)
        chosen = select([trace for _, trace in novel], per_problem, prefer)
        dropped["more than per_problem"] += len(novel) - len(chosen)
        rows += [demonstration(*novel[index], run) for index in chosen]
        having += bool(chosen)
    counts = {reason: count for reason, count in dropped.most_common() if count}
    if not rows:
        raise DataError(_nothing(len(judged), counts))
    return Harvest(rows, len(judged), counts, having)


def _place(item: Judged) -> tuple[int, str, int, str]:
    return item.completion.step or 0, item.completion.file, item.completion.sample, item.completion.text


def _candidate(item: Judged, contaminated: dict[str, bool], held_out: HeldOut) -> Trace | str:
    """The trace of a completion, or why it is dropped."""
    if item.score is None:
        return "not scorable"
    if item.score != 1.0:
        return "not right"
    prompt = prompt_of(item)
    if prompt is None:
        return "prompt unknown"
    trace = read_trace(item.completion.text, messages=item.completion.messages, finished=item.completion.finished)
    if isinstance(trace, str):
        return trace
    if item.key not in contaminated:
        contaminated[item.key] = held_out.has({**(item.row or {}), "prompt": prompt})
    return "held-out problem" if contaminated[item.key] else trace


def _novel(traces: Iterable[Candidate], demonstrated: Demonstrated, dropped: Counter[str]) -> list[Candidate]:
    novel = []
    for item, trace in traces:
        known = demonstrated.known(prompt_of(item), trace.before)
        if known:
            dropped[known] += 1
        else:
            novel.append((item, trace))
    return novel


def prompt_of(item: Judged) -> Any:
    """The prompt as the data set has it, else as it was logged; messages stay messages."""
    return item.row["prompt"] if item.row is not None else item.completion.prompt


def demonstration(item: Judged, trace: Trace, run: str = "") -> dict[str, Any]:
    """A row that `rlsp sft --demonstrations file` takes, with where it comes from."""
    completion = item.completion
    return {
        "prompt": prompt_of(item),
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
    """Choose among the traces of one problem.

    Args:
        traces: traces without duplicates, in any order; the choice does not depend on it.
        most: how many to choose at most.
        prefer: `"shortest"` by words of reasoning; `"diverse"` starts with the shortest and then always takes the
            trace whose nearest neighbor among those taken is farthest (Jaccard distance of 4-grams).

    Returns:
        Indices of the chosen traces, in order of choice.

    Raises:
        ConfigError: `most` below 1, or an unknown preference.
    """
    if most < 1:
        raise ConfigError(f"per_problem is at least 1, got {most}")
    if prefer not in get_args(Preference):
        raise ConfigError(f"prefer is 'shortest' or 'diverse', got {prefer!r}")
    order = sorted(range(len(traces)), key=lambda i: (len(traces[i].words), traces[i].words, traces[i].reasoning))
    if prefer == "shortest" or most == 1:
        return order[:most]
    grams = [ngrams(trace.words, NGRAM) for trace in traces]
    chosen, rest = order[:1], order[1:]
    while rest and len(chosen) < most:
        # the first of the farthest: ties go to the shorter trace
        farthest = max(rest, key=lambda i: min(distance(grams[i], grams[j]) for j in chosen))
        rest.remove(farthest)
        chosen.append(farthest)
    return chosen


def _nothing(read: int, dropped: Mapping[str, int]) -> str:
    counts = ", ".join(f"{reason} {count}" for reason, count in dropped.items())
    return (
        f"nothing to harvest: of {read} completions every one was dropped ({counts or 'there is none'}); train "
        "longer, lower --novelty, or give the data set with --dataset where completions are not scorable"
    )
