"""From logged completions to demonstrations: verified, finished, novel, without duplicates, at most k per problem.

A truncated completion is recognized without a token count: it has no final answer or continues after it. Completions
with control tokens of a chat template are dropped, since in a training text these tokens would start a new turn.
"""

from __future__ import annotations

import contextlib
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from trl_rlsp.errors import ConfigError, DataError
from trl_rlsp.evaluation import by_problem, known_mean
from trl_rlsp.problems import completion_text, problem_key
from trl_rlsp.rewards import OutcomeVerifier
from trl_rlsp.runs import Completion, question
from trl_rlsp.text import GOLD_COLUMNS, Gram, distance, folded_words, ngrams, read
from trl_rlsp.verification import Verdict

Preference = Literal["shortest", "diverse"]

NGRAM = 4  # words per n-gram when two traces are compared
WINDOW = 8  # words per n-gram for overlap, as in the decontamination of Tülu 3 (2411.15124, section 3.2)
OVERLAP = 0.5  # share of n-grams above which two problems count as the same
AFTER_ANSWER = 40  # words that may follow the answer (`7 apples, as we wanted to know.`); more count as cut off

# control tokens of common chat templates and of the quickstart's tokenizer
CONTROL = re.compile(
    r"<\|[^<>|\s]{1,40}\|>|<(?:user|assistant|system|tool|eos|bos|pad|unk)>|</?s>|\[/?INST\]|<(?:start|end)_of_turn>",
    re.IGNORECASE,
)
SURROGATE = re.compile("[\ud800-\udfff]")  # unpaired surrogates, which UTF-8 cannot encode
NO_ANSWER = {"no_answer": "no final answer", "several_answers": "several answers", "unfinished": "cut off"}


def judge(
    completions: Sequence[Completion], problems: Iterable[Mapping[str, Any]], verifier: OutcomeVerifier
) -> list[Completion]:
    """Verify completions whose problem is among rows of `load_problems`; the others keep their logged score.

    A completion is matched to a row by the question of its logged prompt, or else by its problem index. It gets the
    row's `prompt` and `columns`, a `problem` from `problem_key`, and the verifier's `reason` or, without one, `logged`.
    """
    rows = list(problems)
    by_text = {question(row["prompt"]): row for row in reversed(rows)}
    judged, known = [], []
    for index, completion in enumerate(completions):
        numbered = completion.step is None and completion.problem.isdecimal() and int(completion.problem) < len(rows)
        row = rows[int(completion.problem)] if numbered else None
        row = by_text.get(completion.question, row) if completion.prompt else row
        if row is not None:
            known.append(index)
            gold = {name: row.get(name) for name in GOLD_COLUMNS}
            completion = replace(completion, prompt=row["prompt"], columns=gold)
        posed = row or {"prompt": completion.prompt}
        key = problem_key(posed) if completion.prompt else f"problem {completion.problem}"
        judged.append(replace(completion, problem=key, reason="logged"))
    verdicts = verify([judged[index] for index in known], verifier) if known else ()
    for index, verdict in zip(known, verdicts, strict=True):
        judged[index] = replace(judged[index], score=verdict.score, reason=verdict.reason)
    return judged


def verify(completions: Sequence[Completion], verifier: OutcomeVerifier) -> Sequence[Verdict]:
    """The verdicts on completions that have the columns of their data set."""
    columns = {name: [item.columns.get(name) for item in completions] for name in GOLD_COLUMNS}
    used = {name: column for name, column in columns.items() if any(value is not None for value in column)}
    texts, prompts = [item.text for item in completions], [item.prompt for item in completions]
    return verifier.verdicts(texts, prompts=prompts, **used)


def solve_rates(judged: Iterable[Completion]) -> dict[str, float]:
    """Key of each problem -> mean score of its scorable completions; problems without one are left out."""
    rates = {key: known_mean(item.score for item in group) for key, group in by_problem(judged).items()}
    return {key: rate for key, rate in rates.items() if rate is not None}


@dataclass(frozen=True)
class Trace:
    """A completion that can be a demonstration; `reasoning` and `answer` form a row for `rlsp sft`."""

    reasoning: str  # the whole completion if it ends in its boxed answer, else the text before the answer
    answer: str
    before: str  # the text before the answer


def read_trace(item: Completion) -> Trace | str:
    """A completion from `judge` as a trace, or the reason why it cannot be one."""
    if item.score != 1.0:
        return "not scorable" if item.score is None else "not right"
    if item.prompt is None:
        return "prompt unknown"
    if item.messages != 1:
        return "several messages"
    if CONTROL.search(item.text):
        return "control tokens"
    if SURROGATE.search(item.text):
        return "broken text"
    parsed = read(item.text)
    if parsed.answer is None:
        return NO_ANSWER[parsed.reason or "no_answer"]
    rest = folded_words(item.text[len(parsed.reasoning) :])
    if item.finished is False or len(rest) - len(folded_words(parsed.answer)) > AFTER_ANSWER:
        return "cut off"
    whole, before, answer = item.text.strip(), parsed.reasoning.strip(), parsed.answer.strip()
    if not before:
        return "no reasoning"
    for reasoning in (whole, before):  # the first from which `rlsp sft` rebuilds a completion with this answer
        with contextlib.suppress(DataError):
            written = completion_text(reasoning, answer)
            if (written == whole or reasoning == before) and read(written).answer is not None:
                return Trace(reasoning, answer, parsed.reasoning)
    return "several answers"


class HeldOut:
    """The problems of the evaluation sets, rows of `load_problems`.

    A problem is held out if it equals one of them by `problem_key` or by its text without case and whitespace, or if
    more than half of the 8-grams of the shorter one occur in the other. Generated problems share a template, so only
    equality counts for them.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]]) -> None:
        found = [_keys_and_grams(row) for row in rows]
        self.keys = {key for keys, _ in found for key in keys}
        self.sizes = [len(grams) for _, grams in found]
        self.where: defaultdict[Gram, list[int]] = defaultdict(list)
        for number, (_, grams) in enumerate(found):
            for gram in grams:
                self.where[gram].append(number)

    def has(self, row: Mapping[str, Any]) -> bool:
        """Whether a problem (`prompt`, and `task` if it is generated) is held out."""
        keys, grams = _keys_and_grams(row)
        shared = Counter(number for gram in grams for number in self.where.get(gram, ()))
        close = (count / min(len(grams), self.sizes[number]) > OVERLAP for number, count in shared.items())
        return bool(keys & self.keys) or any(close)


def _keys_and_grams(row: Mapping[str, Any]) -> tuple[set[str], frozenset[Gram]]:
    words = folded_words(question(row["prompt"]))
    return {problem_key(row), " ".join(words)}, frozenset() if row.get("task") else ngrams(words, WINDOW)


class Demonstrated:
    """The demonstrations of a run (`prompt`, text or messages, and `reasoning`, the completion), to find new traces.

    A trace is known if a demonstration has the same text (without case and whitespace), or if one for the same problem
    has more than `1 - novelty` of its 8-grams; with a novelty of 0, n-grams are not compared.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]], *, novelty: float = 0.2) -> None:
        if not 0 <= novelty <= 1:
            raise ConfigError(f"novelty is a share between 0 and 1, got {novelty!r}")
        self.novelty = novelty
        self.texts: set[Gram] = set()
        self.by_problem: dict[str, list[Gram]] = {}
        for row in rows:
            reasoning = folded_words(read(row["reasoning"]).reasoning)
            self.texts.add(reasoning)
            self.by_problem.setdefault(question(row["prompt"]), []).append(reasoning)

    def known(self, prompt: Any, reasoning: str) -> str | None:
        """Why `reasoning`, the text before an answer, is not new for a prompt (text or messages); `None` if it is."""
        sequence = folded_words(reasoning)
        if sequence in self.texts:
            return "same text as a demonstration"
        grams = ngrams(sequence, WINDOW)
        others = self.by_problem.get(question(prompt), [])
        overlap = max((len(grams & ngrams(other, WINDOW)) for other in others), default=0) / max(len(grams), 1)
        return "close to a demonstration" if self.novelty > 0 and overlap > 1 - self.novelty else None


@dataclass(frozen=True)
class Harvest:
    """Demonstrations, and counts of the completions read and dropped, each for the first reason that applies."""

    rows: Sequence[Mapping[str, Any]]  # `prompt`, `reasoning`, `answer` and `provenance`
    read: int
    dropped: Mapping[str, int]
    problems: int  # problems with a demonstration

    def counts(self) -> dict[str, Any]:
        """The counts, for a JSON file."""
        return {"read": self.read, "kept": len(self.rows), "problems": self.problems, "dropped": dict(self.dropped)}


def harvest(
    judged: Sequence[Completion],
    *,
    demonstrated: Demonstrated | None = None,
    held_out: HeldOut | None = None,
    per_problem: int = 2,
    prefer: Preference = "diverse",
    run: str = "",
) -> Harvest:
    """Choose demonstrations among completions from `judge`, in any order.

    Harvesting a harvest again gives the same rows. See `select` for `per_problem` and `prefer`; `run` is the name in
    the provenance.

    Raises:
        DataError: no completion is kept; the message counts the reasons.
    """
    demonstrated, held_out = demonstrated or Demonstrated([]), held_out or HeldOut([])
    dropped: Counter[str] = Counter()
    problems: defaultdict[str, list[tuple[Completion, Trace]]] = defaultdict(list)
    for item in sorted(judged, key=lambda item: (item.step or 0, item.file, item.sample, item.text)):
        found = read_trace(item)
        if isinstance(found, str):
            dropped[found] += 1
        else:
            problems[item.problem].append((item, found))
    rows: list[dict[str, Any]] = []
    having = 0
    for _, traces in sorted(problems.items()):
        posed = traces[0][0]
        if held_out.has({"prompt": posed.prompt, "task": posed.columns.get("task")}):
            dropped["held-out problem"] += len(traces)
            continue
        seen, novel = set(), []
        for item, trace in traces:
            content = folded_words(trace.before) + folded_words(trace.answer)
            reason = "duplicate" if content in seen else demonstrated.known(item.prompt, trace.before)
            seen.add(content)
            if reason:
                dropped[reason] += 1
            else:
                novel.append((item, trace))
        chosen = select([trace for _, trace in novel], per_problem, prefer)
        dropped["more than per_problem"] += len(novel) - len(chosen)
        rows += [_demonstration(*novel[index], run) for index in chosen]
        having += bool(chosen)
    counts = {reason: count for reason, count in dropped.most_common() if count}
    if not rows:
        reasons = ", ".join(f"{reason} {count}" for reason, count in counts.items()) or "there are none"
        raise DataError(
            f"nothing to harvest: all {len(judged)} completions were dropped ({reasons}); train longer, lower "
            "--novelty, or give the data set with --dataset if completions are not scorable"
        )
    return Harvest(rows, len(judged), counts, having)


def _demonstration(item: Completion, trace: Trace, run: str) -> dict[str, Any]:
    """A row for `rlsp sft --demonstrations file`, with its provenance."""
    provenance: dict[str, Any] = {"run": run, "file": item.file, "sha256": item.sha256, "step": item.step}
    provenance |= {"index": item.sample, "rewards": dict(item.rewards), "verdict": item.reason}
    return {"prompt": item.prompt, "reasoning": trace.reasoning, "answer": trace.answer, "provenance": provenance}


def select(traces: Sequence[Trace], most: int, prefer: Preference) -> list[int]:
    """Indices of at most `most` traces of one problem, in order of choice; the choice is independent of their order.

    "shortest" sorts by words of reasoning. "diverse" starts with the shortest and then repeatedly takes the trace
    whose nearest neighbor among those chosen is farthest away (Jaccard distance of 4-grams).
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
        # `max` takes the first: ties go to the shorter trace
        farthest = max(rest, key=lambda i: min((distance(grams[i], grams[j]) for j in chosen), default=0.0))
        rest.remove(farthest)
        chosen.append(farthest)
    return chosen
