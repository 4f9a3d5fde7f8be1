"""Search behaviors in English prose, found by their wording, and in written-out searches; their counts and rates.

Wording is evidence, not proof: a model that is paid for it learns to say it. Read the counts beside answer changes
(`trl_rlsp.behaviours.changes`), and the base model's counts beside the trained model's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from trl_rlsp.behaviours._context import announced, negated, opens_clause, prepared
from trl_rlsp.behaviours._cues import CUES
from trl_rlsp.behaviours.kinds import KINDS, Behaviour, Cue
from trl_rlsp.countdown import SearchStep, SearchTrace, read_search
from trl_rlsp.text import MAX_CHARS, completion_text, words

_WORD = re.compile(r"[a-z](?:[a-z']|-(?=[a-z]))*|[✓✔]")
_SENTENCE_END = re.compile(r"[.!?](?=\s)|\n")


def find_in_prose(text: str) -> list[Behaviour]:
    """Behaviours in English prose, at most one of each kind a sentence, in order of place.

    Quotations, code and denied cues (`no need to check`) do not count. Time is linear in the text, of which the
    first `MAX_CHARS` characters are looked at.

    Example:
        >>> text = "That is 14. Let me check: 2 * 7 = 14. However, 3 does not fit, so I go back to x = 5."
        >>> [(b.kind, text[b.start : b.end]) for b in find_in_prose(text)]
        [('verification', 'Let me check'), ('backtracking', 'I go back')]
    """
    plain = prepared(text[:MAX_CHARS])
    found = []
    for word in _WORD.finditer(plain):
        for cue in CUES.get(word.group(), ()):
            match = cue.rest.match(plain, word.end())
            behaviour = match and _behaviour(cue, plain, word.start(), match.end())
            if behaviour is not None:
                found.append(behaviour)
    return _one_a_sentence(sorted(found), plain) if found else []


def _behaviour(cue: Cue, plain: str, start: int, end: int) -> Behaviour | None:
    """The behaviour if what `cue` matched from `start` to `end` stands where the cue may."""
    begins = start
    if cue.where != "any":
        announcement = announced(plain, start) if cue.where != "clause" else None
        if announcement is not None:
            begins = announcement
        elif cue.where == "me" or not opens_clause(plain, start):
            return None
    if cue.deniable and negated(plain, begins):
        return None
    return Behaviour(begins, end, cue.kind)


def _one_a_sentence(found: list[Behaviour], plain: str) -> list[Behaviour]:
    ends = [match.end() for match in _SENTENCE_END.finditer(plain)]
    kept: list[Behaviour] = []
    seen: set[tuple[int, str]] = set()
    sentence = 0
    for behaviour in found:
        while sentence < len(ends) and ends[sentence] <= behaviour.start:
            sentence += 1
        if (sentence, behaviour.kind) not in seen:
            seen.add((sentence, behaviour.kind))
            kept.append(behaviour)
    return kept


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
        tokens: its length in tokens; default its length in words (`trl_rlsp.text.words`), which
            in English mathematics is about the same.

    Returns:
        A rate for each key of `counts`; 0 for an empty text.

    Example:
        >>> rate_per_1000({"verification": 1}, "Let me check: 3 * 4 = 12.")
        {'verification': 100.0}
    """
    length = len(words(text)) if tokens is None else tokens
    return {kind: 1000 * count / length if length else 0.0 for kind, count in counts.items()}


class BehaviourMetrics:
    """Logs each behaviour per 1,000 tokens of the batch as `behaviour/<kind>`; picklable, without state.

    Example:
        >>> log = {}
        >>> BehaviourMetrics()(["Let me check: 3 * 4 = 12."], log_metric=log.__setitem__)
        >>> log["behaviour/verification"]
        100.0
    """

    __name__ = "behaviour_metrics"

    def __call__(
        self,
        completions: Sequence[Any],
        log_metric: Any = None,
        completion_ids: Sequence[Sequence[int]] | None = None,
        **kwargs: Any,
    ) -> None:
        """Log the rates of a batch.

        Args:
            completions: B completions, strings or message lists.
            log_metric: TRL's logger of scalars; nothing is done without one.
            completion_ids: B lists of token ids; without them lengths are words.
        """
        if log_metric is None or not completions:
            return
        texts = [completion_text(completion) for completion in completions]
        totals: dict[str, int] = dict.fromkeys(KINDS, 0)
        for text in texts:
            for kind, count in count_behaviours(text).items():
                totals[kind] += count
        tokens = sum(map(len, completion_ids)) if completion_ids is not None else sum(len(words(t)) for t in texts)
        for kind, total in totals.items():
            log_metric(f"behaviour/{kind}", 1000 * total / tokens if tokens else 0.0)
