"""What stands around a cue and takes its meaning away: quotation marks, code, a negation. Linear time.

Every change keeps the length of the text, so that a place in the prepared text is the same place in the original.
"""

from __future__ import annotations

import re

_ASCII_LOWER = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_PLAIN = str.maketrans({**_ASCII_LOWER, "’": "'", "‘": "'", "“": '"', "”": '"', "…": ".", "\t": " "})

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


def negated(text: str, start: int) -> bool:
    """Whether the clause before the cue at `start` of a prepared text denies it: `no need to`, `we never`.

    Example:
        >>> negated("there is no need to check", 20), negated("that is not it, so check", 19)
        (True, False)
    """
    before = text[max(0, start - _REACH) : start]
    clause = re.split(r"[.,;:!?\n()]", before)[-1]
    return bool(_NEGATED.search(clause)) and not _STILL_MEANT.search(clause)
