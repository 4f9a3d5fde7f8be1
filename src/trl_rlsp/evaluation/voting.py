"""Which final answers of one problem count as the same in a majority vote: as keys, equal where the answers are.

Mathematical answers are the same where the verifier says so; answers of other kinds, and all with a verifier of one's
own, where their text is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from trl_rlsp.rewards import OutcomeVerifier
from trl_rlsp.text.completion import Reading
from trl_rlsp.text.latex import normalize

MAX_DISTINCT = 16
"""Wrong answers of one problem that are compared with each other, the most frequent first: 120 pairs at most."""

PAIRS_AT_ONCE = 256
"""Pairs in one call of the verifier, whose limit on a whole call is meant for a training batch."""

Key = str | None


def final_answer(row: Mapping[str, Any], reading: Reading) -> Key:
    """The answer of a completion as normalized text, `None` where there is none.

    Args:
        row: its problem.
        reading: the completion as `OutcomeVerifier.reader` reads it.

    >>> from trl_rlsp.text.completion import read
    >>> final_answer({"solution": "1"}, read(r"So $x = \\boxed{ 1{,}000 }$.")), final_answer({}, read("No idea."))
    ('1000', None)
    """
    if reading.answer is None:
        return None
    if row.get("tests") is not None:
        return "\n".join(line.rstrip() for line in reading.answer.strip().splitlines())
    return normalize(reading.answer) if _is_math(row) else " ".join(reading.answer.split())


def voting_keys(
    rows: Sequence[Mapping[str, Any]],
    problems: Sequence[int],
    answers: Sequence[Key],
    scores: Sequence[float | None],
    verifier: OutcomeVerifier,
) -> list[Key]:
    """A key for each completion, equal for completions of one problem with the same final answer.

    Right answers to a mathematical problem are the same, since each equals the gold answer. Wrong ones are
    compared in pairs, each pair of texts once.

    Args:
        rows: P problems.
        problems: index of the problem of each of S completions.
        answers: the `final_answer` of each.
        scores: their S scores.
        verifier: says which answers are equal.

    Returns:
        S keys; `None` where there is no answer. A key is the most frequent text of its answer.
    """
    votes: dict[int, Counter[str]] = {}
    right: dict[int, set[str]] = {}
    for problem, answer, score in zip(problems, answers, scores, strict=True):
        if answer is None:
            continue
        votes.setdefault(problem, Counter())[answer] += 1
        if score == 1.0 and _is_math(rows[problem]):
            right.setdefault(problem, set()).add(answer)
    same = {problem: _Classes(count) for problem, count in votes.items()}
    for problem, equal in right.items():
        same[problem].merge(*equal)
    wrong = {p: [a for a, _ in c.most_common() if a not in right.get(p, ())] for p, c in votes.items()}
    for problem, one, other in _equal_pairs(rows, wrong, verifier):
        same[problem].merge(one, other)
    return [None if a is None else same[p].key(a) for p, a in zip(problems, answers, strict=True)]


def _is_math(row: Mapping[str, Any]) -> bool:
    return row.get("tests") is None and row.get("task") is None


def _equal_pairs(
    rows: Sequence[Mapping[str, Any]], answers: Mapping[int, list[str]], verifier: OutcomeVerifier
) -> list[tuple[int, str, str]]:
    """(problem, answer, answer) for the pairs of wrong mathematical answers that the verifier calls equal."""
    pairs = [
        (problem, one, other)
        for problem, found in answers.items()
        if _is_math(rows[problem]) and verifier.compares_answers
        for one, other in combinations(found[:MAX_DISTINCT], 2)
    ]
    equal = []
    for start in range(0, len(pairs), PAIRS_AT_ONCE):
        part = pairs[start : start + PAIRS_AT_ONCE]
        texts = [f"\\boxed{{{other}}}" for _, _, other in part]
        verdicts = verifier.verdicts(texts, solution=[one for _, one, _ in part])
        equal += [pair for pair, verdict in zip(part, verdicts, strict=True) if verdict.score == 1.0]
    return equal


class _Classes:
    """Texts of one problem, joined into classes of equal answers (union-find)."""

    def __init__(self, votes: Counter[str]) -> None:
        self.parent = {text: text for text in votes}
        self.rank = {text: place for place, (text, _) in enumerate(votes.most_common())}

    def key(self, text: str) -> str:
        """The most frequent text of the class."""
        while self.parent[text] != text:
            text = self.parent[text]
        return text

    def merge(self, *texts: str) -> None:
        """Make one class of the classes of these texts."""
        roots = sorted((self.key(text) for text in texts), key=self.rank.__getitem__)
        for root in roots[1:]:
            self.parent[root] = roots[0]
