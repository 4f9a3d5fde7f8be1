"""Search behaviors in English prose, found by their wording, and in written-out searches; their counts and rates.

Wording is evidence, not proof: a model that is paid for it learns to say it. So read the counts beside answer changes
and the base model's, and pay only for what `credited` gives: a cue costs a model two words and alone is worth nothing.
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

MAX_CANDIDATES = 64  # of one completion that are looked at: the last ones
SUBSTANCE = 4  # new words of content that the sentence of a credited cue must hold

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
    r"""Search behaviors of a completion, in order of place: of English prose, and of a written-out countdown search.

    In prose at most one of each kind counts a sentence, and neither quotations nor code nor denied cues (`no need to
    check`). In a search each comparison with the target is a verification, each return to an earlier open branch
    backtracking, each further attempt at the same branch an alternative. The first `MAX_CHARS` characters count.

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
    """Occurrences of each of `KINDS` in a completion."""
    found = Counter(behaviour.kind for behaviour in find_behaviours(text))
    return {kind: found[kind] for kind in KINDS}


class BehaviourMetrics:
    """Logs each behaviour per 1,000 tokens of the batch as `behaviour/<kind>`; picklable, without state.

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
        """Log the rates of B completions; their lengths are words where their token ids are not given."""
        if log_metric is None or not completions:
            return
        texts = list(map(completion_text, completions))
        counts = list(map(count_behaviours, texts))
        tokens = sum(map(len, completion_ids if completion_ids is not None else map(words, texts)))
        for kind in KINDS:
            log_metric(f"behaviour/{kind}", 1000 * sum(count[kind] for count in counts) / max(tokens, 1))


def credited(reasoning: str, *, prompt: str = "", spacing: int = 8, ngram: int = 6) -> list[Behaviour]:
    """The occurrences in `reasoning` that are worth a reward, those that real reasoning surrounds, in order of place.

    In prose the cue's sentence must hold `SUBSTANCE` new words of content, and `spacing` of these lie between two
    occurrences; the same wording counts once, and a sentence for one behavior only. Content is what is neither
    punctuation nor a word that a cue may start with; new is what stands in no n-gram (of `ngram` words) and no sentence
    that the prompt or the text before it had. In a written-out search a step counts if it is new, right and rightly
    judged. Places are those in the `visible` part of `reasoning`.

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
    """New words of content in each sentence."""
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
    """Answers stated in a completion, in order, and how each changes to the next; `None` is a score of no verdict."""

    candidates: tuple[str, ...]
    scores: tuple[float | None, ...]
    wrong_to_right: int = 0
    right_to_wrong: int = 0
    wrong_to_wrong: int = 0
    not_scorable: int = 0


def candidate_answers(text: str) -> list[str]:
    r"""Answers that a completion states, in order: boxes, `the answer is ...`, hits claimed in a written-out search.

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
    r"""How the answers stated inside a completion change: the most telling sign that search does something.

    `text` is the completion or its `candidate_answers`; `is_right` scores a list of answers: 1.0 right, less is wrong,
    `None` not scorable. It is called once, and not at all with fewer than two different answers in a row.

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
