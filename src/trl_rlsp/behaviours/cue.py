r"""A cue: one way to word a behaviour, from the word it starts with.

A text is read word by word; only at a word that some cue starts with is anything tried, so that a whole batch is read
in milliseconds. Expressions run over text prepared by `trl_rlsp.behaviours.context` (lower case, plain quotation
marks). Every gap in them is bounded, so that time is linear in the text. Placeholders:

- `{gap}`: up to 60 characters of the same clause, `{any}`: of the same sentence;
- `{find}`: `find`, `determine`, ...; `{way}`: `way`, `approach`, ...; `{error}`: `mistake`, `slip`, ...
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from trl_rlsp.behaviours.kinds import Kind

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
