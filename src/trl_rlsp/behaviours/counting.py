"""Search behaviors in English prose, detected by their wording, and in written searches; their counts and rates.

Wording is evidence, not proof: a model rewarded for it learns to produce it. Compare the counts with answer changes and
with the base model's, and reward only what `credited` returns: a cue costs a model two words; alone it has no value.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, groupby, pairwise
from typing import Any

from trl_rlsp.behaviours._prose import CUES, KINDS, Behaviour, Kind, find_in_prose
from trl_rlsp.countdown import SearchStep, SearchTrace, read_search
from trl_rlsp.text import MAX_CHARS, completion_text, find_boxes, visible, words

MAX_CANDIDATES = 64  # of one completion that are considered: the last ones
SUBSTANCE = 4  # new content words that the sentence of a credited cue must contain

_STATED = re.compile(
    r"\b(?:answer|result|total)(?: (?:is|would be|should be|must be|becomes|comes to)|:)(?: then| now| simply)?[ \n]*"
    r"(?=(?P<answer>[^\n]{1,120}))",
    re.IGNORECASE,
)
_END = re.compile(r"[.;!?](?=\s|$)|,(?=\s)|\s(?:because|since|which|so|and|but|not|or)\b")
_WRAPPING = re.compile(r"^[\s$*`:]+|[\s$*`.,;:!?]+$|^\\[(\[]\s*|\s*\\[)\]]$")

_MARKS = frozenset(".,;:!?()[]{}\"'|$\\")
_SENTENCE = re.compile(r"[^.!?;\n]*(?:[.!?;](?!\s|$)[^.!?;\n]*)*(?:[.!?;]|\n|$)")


def find_behaviours(text: str) -> list[Behaviour]:
    r"""Search behaviors of a completion, in text order: in English prose and in a written countdown search.

    In prose, at most one of each kind counts per sentence; quotations, code and negated cues (`no need to check`) do
    not count. In a search, each comparison with the target is a verification, each return to an earlier open branch is
    backtracking, each further attempt at the same branch is an alternative. The first `MAX_CHARS` characters are read.

    Example:
        >>> text = "That is 14. Let me check: 2 * 7 = 14. However, 3 does not fit, so I go back to x = 5."
        >>> [(b.kind, text[b.start : b.end]) for b in find_behaviours(text)]
        [('verification', 'Let me check'), ('backtracking', 'I go back')]
        >>> [b.kind for b in find_behaviours("9 + 2 = 11 ? 18 no | 9 * 2 = 18 ? 18 yes")]
        ['verification', 'alternatives', 'verification']
    """
    of_steps = [behaviour for _, of_step in _behaviours_of_steps(read_search(text)) for behaviour in of_step]
    return sorted([*find_in_prose(text), *of_steps])


def _behaviours_of_steps(trace: SearchTrace) -> Iterator[tuple[SearchStep, list[Behaviour]]]:
    attempted = False
    for step in trace.steps:
        found: list[Behaviour] = []
        if step.turned_back or (attempted and step.compared is not None):
            kind: Kind = "backtracking" if step.turned_back else "alternatives"
            found.append(Behaviour(step.start, step.start + len(step.written), kind))
        if step.compared is not None:
            found.append(Behaviour(step.compared, step.end, "verification"))
        attempted = step.compared is not None
        yield step, found


def count_behaviours(text: str) -> dict[str, int]:
    """Number of occurrences of each of `KINDS` in a completion."""
    found = Counter(behaviour.kind for behaviour in find_behaviours(text))
    return {kind: found[kind] for kind in KINDS}


class BehaviourMetrics:
    """Logs occurrences of each behavior per 1,000 tokens of the batch as `behaviour/<kind>`; picklable, stateless.

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
        """Log the rates of B completions; without `completion_ids`, their lengths are counted in words."""
        if log_metric is None or not completions:
            return
        texts = list(map(completion_text, completions))
        counts = list(map(count_behaviours, texts))
        tokens = sum(map(len, completion_ids if completion_ids is not None else map(words, texts)))
        for kind in KINDS:
            log_metric(f"behaviour/{kind}", 1000 * sum(count[kind] for count in counts) / max(tokens, 1))


def credited(reasoning: str, *, prompt: str = "", spacing: int = 8, ngram: int = 6) -> list[Behaviour]:
    """The occurrences in `reasoning` that deserve a reward because they are part of real reasoning, in text order.

    In prose, the sentence of a cue must contain at least `SUBSTANCE` new content words, with at least `spacing` of them
    between two occurrences; the same wording counts once, and a sentence counts for one behavior only. Content words
    are neither punctuation nor words that a cue may start with; a word is new if no n-gram (of `ngram` words) or
    sentence around it occurs in the prompt or the text before it. In a written search, a step counts if it is new,
    correct, and its claim is correct. Offsets refer to `visible(reasoning)`.

    >>> len(credited("Wait. Let me check. Alternatively. Let me go back. Let me check."))
    0
    """
    text = visible(reasoning)
    of_steps = [
        behaviour
        for step, found in _behaviours_of_steps(read_search(text))
        if not step.repeated and not step.stray and step.right and step.claim_right is not False
        for behaviour in found
    ]
    return sorted([*_credited_prose(text, prompt, spacing, ngram), *of_steps])


def _credited_prose(text: str, prompt: str, spacing: int, ngram: int) -> list[Behaviour]:
    found = find_in_prose(text)
    if not found:
        return []
    starts = [match.start() for match in _SENTENCE.finditer(text) if match.group()]
    sentences = [words(text[a:b]) for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]
    fresh = _fresh(sentences, words(prompt), ngram)
    upto = list(accumulate(fresh, initial=0))
    kept: dict[tuple[str, ...], Behaviour] = {}  # by wording
    last = -spacing
    for behaviour in found:
        sentence = bisect_right(starts, behaviour.start) - 1
        wording = tuple(words(text[behaviour.start : behaviour.end]))
        if upto[sentence] - last >= spacing and fresh[sentence] >= SUBSTANCE and wording not in kept:
            kept[wording], last = behaviour, upto[sentence]
    return list(kept.values())


def _fresh(sentences: list[list[str]], before: list[str], ngram: int) -> list[int]:
    """Number of new content words in each sentence."""
    sequence = list(chain.from_iterable(sentences))
    fresh = [word not in _MARKS and word not in CUES for word in sequence]
    known = set(zip(*(before[i:] for i in range(ngram)), strict=False))
    for i, gram in enumerate(zip(*(sequence[i:] for i in range(ngram)), strict=False)):
        if gram in known:
            fresh[i : i + ngram] = [False] * ngram
        known.add(gram)
    counts, end, seen = [], 0, set()
    for sentence in map(tuple, sentences):
        start, end = end, end + len(sentence)
        counts.append(0 if sentence in seen else sum(fresh[start:end]))
        seen.add(sentence)
    return counts


@dataclass(frozen=True)
class AnswerChanges:
    """Answers stated in a completion, in order, and how they change; the score `None` means no verdict."""

    candidates: tuple[str, ...]
    scores: tuple[float | None, ...]
    wrong_to_right: int = 0
    right_to_wrong: int = 0
    wrong_to_wrong: int = 0
    not_scorable: int = 0


def candidate_answers(text: str) -> list[str]:
    r"""Answers that a completion states, in order: boxes, `the answer is ...`, hits claimed in a written search.

    >>> candidate_answers("So the answer is 12. Wait, I forgot one: the total is 13. \\boxed{13}")
    ['12', '13']
    """
    text = text[:MAX_CHARS]
    boxes, _ = find_boxes(text)
    places = [(box.start, box.answer) for box in boxes]
    for match in _STATED.finditer(text):
        end = _END.search(match["answer"])
        answer = _WRAPPING.sub("", match["answer"][: end.start()] if end else match["answer"])
        if any(c.isdigit() or c == "\\" for c in answer) and "boxed" not in answer:
            places.append((match.start("answer"), answer))
    hits = [step for step in read_search(text).steps if step.claim]
    places += [(step.start, step.expression.removeprefix("( ").removesuffix(" )")) for step in hits]
    ordered = [answer for at, answer in sorted(places) if not any(box.start < at < box.end for box in boxes)]
    runs = groupby(ordered, key=lambda answer: re.sub(r"[\s$]+", "", answer))
    return [next(run) for _, run in runs][-MAX_CANDIDATES:]


def answer_changes(text: str | list[str], is_right: Callable[[list[str]], Sequence[float | None]]) -> AnswerChanges:
    r"""How the answers stated in a completion change: the clearest evidence that search has an effect.

    `text` is the completion or its `candidate_answers`; `is_right` scores a list of answers: 1.0 right, less is wrong,
    `None` not scorable. It is called once, and only if there are at least two candidates.

    >>> found = answer_changes("The answer is 12. No, wait. \\boxed{13}", lambda a: [float(x == "13") for x in a])
    >>> found.candidates, found.wrong_to_right, found.right_to_wrong
    (('12', '13'), 1, 0)
    """
    candidates = candidate_answers(text) if isinstance(text, str) else text
    scores = tuple(is_right(candidates)) if len(candidates) > 1 else (None,) * len(candidates)
    pairs = Counter((None if None in pair else (pair[0] == 1, pair[1] == 1)) for pair in pairwise(scores))
    return AnswerChanges(
        tuple(candidates), scores, pairs[False, True], pairs[True, False], pairs[False, False], pairs[None]
    )
