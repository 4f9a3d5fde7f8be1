"""All behaviours of a text, their counts and rates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from trl_rlsp.behaviours.kinds import KINDS, Behaviour
from trl_rlsp.behaviours.prose import find_in_prose
from trl_rlsp.countdown.search_trace import SearchStep, SearchTrace, read_search
from trl_rlsp.text.effective_length import words


def find_behaviours(text: str) -> list[Behaviour]:
    r"""Search behaviours of a completion, in order of place: of its prose, and of a written-out countdown search.

    In a search each comparison with the target is a verification, each return to an earlier open branch
    backtracking, and each further attempt at the same branch an alternative.

    Args:
        text: the completion; its first 400,000 characters are looked at.

    Returns:
        Each occurrence with its kind and its place in `text`.

    Example:
        >>> [b.kind for b in find_behaviours("Alternatively, factor it. The wait time is 4 minutes.")]
        ['alternatives']
        >>> text = "9 + 2 = 11 ? 18 no | 9 * 2 = 18 ? 18 yes"
        >>> [(b.kind, text[b.start : b.end]) for b in find_behaviours(text)]
        [('verification', '? 18 no'), ('alternatives', '9 * 2'), ('verification', '? 18 yes')]
    """
    return sorted([*find_in_prose(text), *find_in_search(text)])


def find_in_search(text: str) -> list[Behaviour]:
    """Behaviours of a written-out countdown search, in order of place; none in other text."""
    return [behaviour for _, of_step in behaviours_of_step(read_search(text)) for behaviour in of_step]


def behaviours_of_step(trace: SearchTrace) -> Iterator[tuple[SearchStep, list[Behaviour]]]:
    """Each step of a written-out search with the behaviours it shows."""
    attempted = False
    for step in trace.steps:
        found: list[Behaviour] = []
        end_of_expression = step.start + len(step.written)
        if step.turned_back:
            found.append(Behaviour(step.start, end_of_expression, "backtracking"))
        elif step.is_attempt and attempted:
            found.append(Behaviour(step.start, end_of_expression, "alternatives"))
        if step.is_attempt:
            found.append(Behaviour(step.compared, step.end, "verification"))
        attempted = step.is_attempt
        yield step, found


def count_behaviours(text: str) -> dict[str, int]:
    """Occurrences of each of `KINDS` in a completion.

    Example:
        >>> count_behaviours("Let me check: 3 * 4 = 12.")["verification"]
        1
    """
    counts: dict[str, int] = dict.fromkeys(KINDS, 0)
    for behaviour in find_behaviours(text):
        counts[behaviour.kind] += 1
    return counts


def rate_per_1000(counts: Mapping[str, int], text: str, tokens: int | None = None) -> dict[str, float]:
    """Occurrences per 1,000 tokens: longer text holds more of everything.

    Args:
        counts: occurrences in `text`.
        text: the completion.
        tokens: its length in tokens; default its length in words (`trl_rlsp.text.effective_length.words`), which
            in English mathematics is about the same.

    Returns:
        A rate for each key of `counts`; 0 for an empty text.

    Example:
        >>> rate_per_1000({"verification": 1}, "Let me check: 3 * 4 = 12.")
        {'verification': 100.0}
    """
    length = len(words(text)) if tokens is None else tokens
    return {kind: 1000 * count / length if length else 0.0 for kind, count in counts.items()}
