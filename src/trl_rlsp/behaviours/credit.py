"""Which occurrences of a behaviour are worth a reward: those that real reasoning surrounds.

A cue costs a model two words, so a cue alone is worth nothing. What counts in prose:

- the cue's sentence says something of its own: `SUBSTANCE` new words of content;
- `spacing` of these lie between it and the occurrence counted before it;
- the same wording counts once, and a sentence counts for one behaviour only.

Content is what is neither punctuation nor a word that a cue may start with, function words among them.
New is what stands in no n-gram and no sentence that the prompt or the text before it had. In a written-out search,
where truth can be checked, a step counts if it is new, right and rightly judged.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from trl_rlsp.behaviours._cues import CUES
from trl_rlsp.behaviours.counting import behaviours_of_step, find_in_prose
from trl_rlsp.behaviours.kinds import Behaviour
from trl_rlsp.countdown import read_search
from trl_rlsp.text import visible, words

SUBSTANCE = 4
"""New words of content that a cue's sentence must hold."""

_MARKS = frozenset(".,;:!?()[]{}\"'|$\\")

_SENTENCE = re.compile(r"[^.!?;\n]*(?:[.!?;](?!\s|$)[^.!?;\n]*)*(?:[.!?;]|\n|$)")


def credited(reasoning: str, *, prompt: str = "", spacing: int = 8, ngram: int = 6) -> list[Behaviour]:
    """The occurrences in `reasoning` that count, in order of place.

    Args:
        reasoning: what stands before the final answer.
        prompt: text copied from it is not new.
        spacing: new words of content that must lie between two occurrences that count.
        ngram: length of the repeated n-grams that are not new, in words.

    Returns:
        The occurrences, with their places in the visible part of `reasoning`.

    Example:
        >>> len(credited("Wait. Let me check. Alternatively. Let me go back. Let me check."))
        0
    """
    text = visible(reasoning)
    return sorted([*_credited_prose(text, prompt, spacing, ngram), *_credited_steps(text)])


def _credited_steps(text: str) -> Iterator[Behaviour]:
    for step, behaviours in behaviours_of_step(read_search(text)):
        if not step.repeated and not step.stray and step.right and step.claim_right is not False:
            yield from behaviours


def _credited_prose(text: str, prompt: str, spacing: int, ngram: int) -> list[Behaviour]:
    found = find_in_prose(text)
    if not found:
        return []
    starts = [match.start() for match in _SENTENCE.finditer(text) if match.group()]
    sentences = [words(text[a:b]) for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]
    fresh = _fresh(sentences, words(prompt), ngram)
    upto = [0]
    for count in fresh:
        upto.append(upto[-1] + count)
    kept: list[Behaviour] = []
    wordings: set[tuple[str, ...]] = set()
    last = -spacing
    for behaviour in found:
        sentence = bisect_right(starts, behaviour.start) - 1
        before = upto[sentence]
        if before - last < spacing or fresh[sentence] < SUBSTANCE:
            continue
        wording = tuple(words(text[behaviour.start : behaviour.end]))
        if wording not in wordings:
            kept.append(behaviour)
            wordings.add(wording)
            last = before
    return kept


def _fresh(sentences: list[list[str]], before: list[str], ngram: int) -> list[int]:
    """New words of content in each sentence."""
    sequence = [unit for sentence in sentences for unit in sentence]
    fresh = [unit not in _MARKS and unit not in CUES for unit in sequence]
    grams = {tuple(before[i : i + ngram]) for i in range(len(before) - ngram + 1)}
    for i in range(len(sequence) - ngram + 1):
        gram = tuple(sequence[i : i + ngram])
        if gram in grams:
            fresh[i : i + ngram] = [False] * ngram
        grams.add(gram)
    counts, position, seen = [], 0, set()
    for sentence in sentences:
        new = tuple(sentence) not in seen
        counts.append(sum(fresh[position : position + len(sentence)]) if new else 0)
        seen.add(tuple(sentence))
        position += len(sentence)
    return counts
