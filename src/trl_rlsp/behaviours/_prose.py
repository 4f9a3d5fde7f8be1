"""The five search behaviors, and how they are found in English prose: by cues that no negation cancels.

Matching is attempted only at words with which a cue of `cues.txt` starts, so a whole batch takes milliseconds.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from string import ascii_lowercase, ascii_uppercase
from typing import Any, Literal

from trl_rlsp.text import MAX_CHARS

Kind = Literal["backtracking", "verification", "alternatives", "self_correction", "subgoals"]

MEANINGS: dict[Kind, str] = {
    "backtracking": "gives up the present line of attack and returns to an earlier point, or starts over",
    "verification": "checks a result or a step that it already has",
    "alternatives": "names another approach to what it is working on",
    "self_correction": "finds a mistake of its own and repairs it",
    "subgoals": "sets itself an intermediate goal, or splits the problem into parts",
}
"""What the author of a text does in each behavior; the labels of the test snippets follow these definitions."""

KINDS: tuple[Kind, ...] = tuple(MEANINGS)  # in the order of every table


@dataclass(frozen=True, order=True)
class Behaviour:
    """One occurrence of a behavior, from offset `start` to `end` (exclusive) in the text."""

    start: int
    end: int
    kind: Kind


# (kind, where it may occur, what must follow its first word, whether a negation before it cancels it)
Cue = tuple[Kind, str, re.Pattern[str], bool]

_CUES = Path(__file__).with_name("cues.txt")
_PLAIN = str.maketrans(f"{ascii_uppercase}’‘“”…\t", f"{ascii_lowercase}''\"\". ")
_CODE = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)  # an unclosed block extends to the end
_QUOTED = re.compile(
    r'"[^"\n]{1,300}"'  # "go back"
    r"|(?<!\w)'(?:[^'\n]|(?<=\w)'(?=\w)){1,200}'(?!\w)"  # 'go back', but not don't
    r"|`[^`\n]{1,300}`"
)
_NEGATED = re.compile(
    r"\b(?:no need|not necessary|needn't|not to say(?: that)?|never|without|should not|shouldn't|do not|don't|will not"
    r"|won't|cannot|can't|did not|didn't|not have|no|not|nor)(?: \w+){0,4} ?\Z"
)
_STILL_MEANT = re.compile(r"(?:\b(?:not forget to|don't forget to|or not|if not|no)|\b(?:nowhere|not work)\b.*) ?\Z")
_MODAL = (
    r"(?:'ll| will|'d| would| can| could| should| must| might| may| have to| need to| want to| ought to| am going to"
    r"|'m going to| are going to|'re going to|'d like to|'d better| had better)?"
)
_ADVERB = r"(?: (?:just|now|quickly|also|first|then|instead|therefore|simply|rather|better|at least|really))?"
_ANNOUNCED = re.compile(rf"\b(?:let me|let's|let us|time to|(?:i|we){_MODAL}){_ADVERB} \Z")
_OPENER = "so|and|then|ok|okay|hmm|well|now|but|wait|or|hence|therefore|actually|yes|no|oh|ah|maybe|perhaps|thus|again"
_REACH = 48  # characters before a cue that are searched for a negation or announcement
_WORD = re.compile(r"[a-z](?:[a-z']|-(?=[a-z]))*|[✓✔]")
# text that precedes a clause: punctuation, or `so`, `and`, `wait` and the like
_BEFORE_CLAUSE = re.compile(rf"(?:(?:\A|[\n(*—]) *|[.,;:!?>-] +|(?<![a-z])(?:{_OPENER}) )\Z")
_SENTENCE_END = re.compile(r"[.!?](?=\s)|\n")


def _cues() -> dict[str, list[Cue]]:
    cues: dict[str, list[Cue]] = {}
    placeholders: dict[str, str] = {}
    kind: Any = None
    for line in _CUES.read_text(encoding="utf-8").splitlines():
        for name, part in placeholders.items():
            line = line.replace(name, part)
        if line.startswith("["):
            kind = line.strip("[]")
        elif line.startswith("{"):
            name, _, part = line.partition(" = ")
            placeholders[name] = part
        elif line and not line.startswith("#"):
            where, words, rest = re.fullmatch(r"(\S+) \(([^)]*)\)(.*)", line).groups()  # type: ignore[union-attr]
            cue = (kind, where.rstrip("!"), re.compile(rest, re.MULTILINE), not where.endswith("!"))
            for word in words.split():
                cues.setdefault(word, []).append(cue)
    return cues


CUES = _cues()
"""First word -> the cues that start with it; `cues.txt` lists them and where they may occur."""


def find_in_prose(text: str) -> list[Behaviour]:
    """At most one behavior of each kind per sentence, in text order, in the first `MAX_CHARS` characters."""
    plain = prepared(text[:MAX_CHARS])
    found = []
    for word in _WORD.finditer(plain):
        for kind, where, rest, deniable in CUES.get(word.group(), ()):
            match = rest.match(plain, word.end())
            begins = _begins(where, plain, word.start()) if match else None
            if match and begins is not None and not (deniable and _negated(plain, begins)):
                found.append(Behaviour(begins, match.end(), kind))
    ends = [match.end() for match in _SENTENCE_END.finditer(plain)] if found else []
    first: dict[tuple[int, str], Behaviour] = {}
    for behaviour in sorted(found):
        first.setdefault((bisect_right(ends, behaviour.start), behaviour.kind), behaviour)
    return list(first.values())


def prepared(text: str) -> str:
    """`text` in lower case, with plain quotation marks and with code and quotations blanked out; same length."""
    plain = _CODE.sub(lambda found: re.sub(r"[^\n]", " ", found.group()), text.translate(_PLAIN))
    return _QUOTED.sub(lambda found: " " * len(found.group()), plain)


def _begins(where: str, plain: str, start: int) -> int | None:
    """Offset where the behavior with a cue at `start` begins; `None` if the cue may not occur there."""
    if where == "any":
        return start
    offset = max(0, start - _REACH)
    if where != "clause" and (announced := _ANNOUNCED.search(plain[offset:start])):
        return offset + announced.start()
    opens = where != "me" and _BEFORE_CLAUSE.search(plain[max(0, start - 16) : start])
    return start if opens else None


def _negated(text: str, start: int) -> bool:
    """Whether the clause before `start` negates the cue: `no need to`, `we never`."""
    clause = re.split(r"[.,;:!?\n()]", text[max(0, start - _REACH) : start])[-1]
    return bool(_NEGATED.search(clause)) and not _STILL_MEANT.search(clause)
