r"""The five search behaviors, one occurrence of one, and one way to word one: a cue, from the word it starts with.

A text is read word by word; only at a word that some cue starts with is anything tried, so that a whole batch is read
in milliseconds. Expressions run over text prepared by `_context` (lower case, plain quotation marks). Every gap in them
is bounded, so that time is linear in the text. Placeholders:

- `{gap}`: up to 60 characters of the same clause, `{any}`: of the same sentence;
- `{find}`: `find`, `determine`, ...; `{way}`: `way`, `approach`, ...; `{error}`: `mistake`, `slip`, ...
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Kind = Literal["backtracking", "verification", "alternatives", "self_correction", "subgoals"]

KINDS: tuple[Kind, ...] = ("backtracking", "verification", "alternatives", "self_correction", "subgoals")
"""What is looked for, in the order of every table."""

MEANINGS: dict[Kind, str] = {
    "backtracking": "gives up the present line of attack and returns to an earlier point, or starts over",
    "verification": "checks a result or a step that it already has",
    "alternatives": "names another approach to what it is working on",
    "self_correction": "finds a mistake of its own and repairs it",
    "subgoals": "sets itself an intermediate goal, or splits the problem into parts",
}
"""What the author of a text does where a behaviour is found; the labels of the test snippets follow it."""


@dataclass(frozen=True, order=True)
class Behaviour:
    """One occurrence of a behaviour.

    Attributes:
        start: offset of its first character in the text.
        end: offset after its last character.
        kind: one of `KINDS`.
    """

    start: int
    end: int
    kind: Kind


Where = Literal["any", "clause", "me", "told", "any!", "clause!"]
"""Where a cue may stand: anywhere; at the start of a clause; after the author's announcement that he does it (`let
me`, `I should`); either of the last two. With `!`, a negation before it does not take its meaning away."""


def words(text: str) -> str:
    """The words of `text` as an alternation.

    Example:
        >>> words("this that")
        '(?:this|that)'
    """
    return f"(?:{'|'.join(text.split())})"


FIND = (
    "find determine compute calculate establish show prove know identify count solve get derive understand express "
    "isolate compare list evaluate settle see have fix reduce simplify locate obtain rewrite"
)
_FINDING = (
    "finding determining computing calculating establishing showing proving identifying counting solving listing "
    "bounding deriving"
)
_WAY = (
    "way ways approach method strategy idea option possibility technique solution tack perspective argument trick "
    "viewpoint formulation representation interpretation proof derivation"
)
_BETTER = (
    "different alternative easier simpler better quicker faster slicker cleaner second other shorter nicer neater "
    "cleverer smarter geometric combinatorial probabilistic"
)
_PLACEHOLDERS = {
    "gap": r"[^\n.,;:!?]{1,60}",
    "any": r"[^\n.!?]{1,60}",
    "find": f"(?:{words(FIND)}|figure out|work out)",
    "finding": f"(?:{words(_FINDING)}|figuring out|working out)",
    "way": f"(?:{words(_WAY)}|line of attack)",
    "better": f"(?:{words(_BETTER)}|more (?:direct|elegant|efficient|clever|systematic))",
    "error": words("mistake mistakes error slip typo blunder miscalculation oversight"),
}


@dataclass(frozen=True)
class Cue:
    """One way to word a behaviour.

    Attributes:
        kind: the behaviour.
        where: where its first word may stand, a `Where` without its mark.
        rest: what must follow the first word, for prepared text.
        deniable: whether a negation before it takes its meaning away.
    """

    kind: Kind
    where: str
    rest: re.Pattern[str]
    deniable: bool


def by_first_word(rows: Mapping[Kind, Sequence[tuple[Where, str, str]]]) -> dict[str, list[Cue]]:
    """Cues by the word they start with.

    Args:
        rows: for each kind (where, first words, what follows), with placeholders.
    """
    cues: dict[str, list[Cue]] = {}
    for kind, of_kind in rows.items():
        for where, heads, rest in of_kind:
            for name, part in _PLACEHOLDERS.items():
                rest = rest.replace("{" + name + "}", part)
            pattern = re.compile(rest, re.MULTILINE)
            for head in heads.split():
                cues.setdefault(head, []).append(Cue(kind, where.rstrip("!"), pattern, not where.endswith("!")))
    return cues
