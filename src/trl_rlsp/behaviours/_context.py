"""What stands around a cue and takes its meaning away: quotation marks, code, a negation. Linear time.

Every change keeps the length of the text, so that a place in the prepared text is the same place in the original.
"""

from __future__ import annotations

import re

_ASCII_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_PLAIN_MARKS = {ord("’"): "'", ord("‘"): "'", ord("“"): '"', ord("”"): '"', ord("…"): ".", ord("\t"): " "}
_PLAIN: dict[int, int | str] = {**_ASCII_LOWER, **_PLAIN_MARKS}

_QUOTED = re.compile(
    r'"[^"\n]{1,300}"'  # "go back"
    r"|(?<!\w)'(?:[^'\n]|(?<=\w)'(?=\w)){1,200}'(?!\w)"  # 'go back', but not don't
    r"|`[^`\n]{1,300}`"
)
_FENCE = "```"
_NEGATED = re.compile(
    r"\b(?:no need|not necessary|needn't|not to say(?: that)?|never|without|should not|shouldn't|do not|don't|will not"
    r"|won't|cannot|can't|did not|didn't|not have|no|not|nor)(?: \w+){0,4} ?\Z"
)
_STILL_MEANT = re.compile(
    r"(?:\b(?:not forget to|don't forget to)|\b(?:or|if) not|\bno|\b(?:nowhere|not work)\b.*) ?\Z"
)
_REACH = 48
"""Characters before a cue in which a negation is looked for."""


def prepared(text: str) -> str:
    """`text` in lower case with plain quotation marks, code and quotations blanked out; of the same length.

    Example:
        >>> prepared('It says "go back" to A.')
        'it says           to a.'
    """
    plain = text.translate(_PLAIN)
    if _FENCE in plain:
        plain = _without_code_blocks(plain)
    if '"' in plain or "'" in plain or "`" in plain:
        plain = _QUOTED.sub(lambda found: " " * len(found.group()), plain)
    return plain


def _without_code_blocks(text: str) -> str:
    """Fenced blocks blanked out; an open one reaches to the end."""
    parts = text.split(_FENCE)
    for number in range(1, len(parts), 2):
        parts[number] = re.sub(r"[^\n]", " ", parts[number])
    return "   ".join(parts)


_MODAL = (
    r"(?:'ll| will|'d| would| can| could| should| must| might| may| have to| need to| want to| ought to| am going to"
    r"|'m going to| are going to|'re going to|'d like to|'d better| had better)?"
)
_ADVERB = r"(?: (?:just|now|quickly|also|first|then|instead|therefore|simply|rather|better|at least|really))?"
_ANNOUNCED = re.compile(rf"\b(?:let me|let's|let us|time to|(?:i|we){_MODAL}){_ADVERB} \Z")
_OPENERS = frozenset(
    (
        *("so", "and", "then", "ok", "okay", "hmm", "well", "now", "but", "wait", "or", "hence", "therefore"),
        *("actually", "yes", "no", "oh", "ah", "maybe", "perhaps", "thus", "again"),
    )
)
_LAST_WORD = re.compile(r"([a-z]+) \Z")


def announced(text: str, start: int) -> int | None:
    """Where the author begins to announce what starts at `start` of a prepared text as his own doing, if he does.

    Example:
        >>> announced("so i should check", 12), announced("they check", 5)
        (3, None)
    """
    offset = max(0, start - _REACH)
    found = _ANNOUNCED.search(text[offset:start])
    return offset + found.start() if found else None


def opens_clause(text: str, start: int) -> bool:
    """Whether a clause starts at `start` of a prepared text: after punctuation, or `so`, `and`, `wait` and the like.

    Example:
        >>> opens_clause("no. check", 4), opens_clause("so check", 3), opens_clause("a check", 2)
        (True, True, False)
    """
    before = text[max(0, start - 16) : start]
    stripped = before.rstrip(" ")
    if not stripped:
        return True
    if stripped[-1] in "\n(*—":
        return True
    if stripped == before:
        return False
    last = _LAST_WORD.search(before)
    return stripped[-1] in ".,;:!?>-" or bool(last and last.group(1) in _OPENERS)


def negated(text: str, start: int) -> bool:
    """Whether the clause before the cue at `start` of a prepared text denies it: `no need to`, `we never`.

    Example:
        >>> negated("there is no need to check", 20), negated("that is not it, so check", 19)
        (True, False)
    """
    before = text[max(0, start - _REACH) : start]
    clause = re.split(r"[.,;:!?\n()]", before)[-1]
    return bool(_NEGATED.search(clause)) and not _STILL_MEANT.search(clause)
