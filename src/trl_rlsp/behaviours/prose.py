"""Search behaviours in English prose, found by their wording.

Wording is evidence, not proof: a model that is paid for it learns to say it. Read the counts beside answer changes
(`trl_rlsp.behaviours.changes`), and the base model's counts beside the trained model's.
"""

from __future__ import annotations

import re

from trl_rlsp.behaviours.context import announced, negated, opens_clause, prepared
from trl_rlsp.behaviours.cue import Cue
from trl_rlsp.behaviours.cues import CUES
from trl_rlsp.behaviours.kinds import Behaviour
from trl_rlsp.text.effective_length import MAX_CHARS

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
            behaviour = _behaviour(cue, plain, word.start(), word.end())
            if behaviour is not None:
                found.append(behaviour)
    return _one_a_sentence(sorted(found), plain) if found else []


def _behaviour(cue: Cue, plain: str, start: int, end: int) -> Behaviour | None:
    """The behaviour if `cue` stands at its first word, from `start` to `end`."""
    match = cue.rest.match(plain, end)
    if match is None:
        return None
    begins = start
    if cue.where != "any":
        announcement = announced(plain, start) if cue.where != "clause" else None
        if announcement is not None:
            begins = announcement
        elif cue.where == "me" or not opens_clause(plain, start):
            return None
    if cue.deniable and negated(plain, begins):
        return None
    return Behaviour(begins, match.end(), cue.kind)


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
