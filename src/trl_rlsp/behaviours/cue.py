r"""A cue: one way to word a behaviour, as a regular expression with literals that it needs.

Expressions run over text prepared by `trl_rlsp.behaviours.context` (lower case, plain quotation marks). Every gap in
them is bounded, and no bounded gap stands inside another, so that time is linear in the text. Placeholders:

- `{me}`: the author announces what he does (`let me`, `i should`, `we have to`);
- `{start}`: the cue opens a clause (after punctuation, or `so`, `and`, `wait` and the like);
- `{gap}`: up to 60 characters of the same clause, `{any}`: of the same sentence;
- `{find}`: `find`, `determine`, ...; `{way}`: `way`, `approach`, ...; `{error}`: `mistake`, `slip`, ...
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from trl_rlsp.behaviours.kinds import Kind


def words(text: str) -> str:
    """An alternation of the `|`-separated words of `text`, as a group."""
    return f"(?:{text})"


_ADVERB = words(" just| now| quickly| also| first| then| instead| therefore| simply| rather| better| at least| really")
_MODAL = words(
    "'ll| will|'d| would| can| could| should| must| might| may| have to| need to| want to| ought to"
    "| am going to|'m going to| are going to|'re going to|'d like to|'d better| had better|"
)
_OPENERS = (
    *("so", "and", "then", "ok", "okay", "hmm", "well", "now", "but", "wait", "or", "hence", "therefore", "actually"),
    *("yes", "no", "oh", "ah", "maybe", "perhaps", "thus", "again"),
)
_PLACEHOLDERS = {
    "me": rf"(?:\b(?:let me|let's|let us|time to|(?:i|we){_MODAL}){_ADVERB}?)",
    "start": r"(?:^ {0,8}|(?<=[.,;:!?(*>-] )|(?<=\n)|(?<=—)|"
    + "|".join(rf"(?<=\b{word} )" for word in _OPENERS)
    + ")",
    "gap": r"[^\n.,;:!?]{1,60}",
    "any": r"[^\n.!?]{1,60}",
    "find": words(
        "find|determine|compute|calculate|figure out|work out|establish|show|prove|know|identify|count|solve|get|derive"
        "|understand|express|isolate|compare|list|evaluate|settle|see|have|fix|reduce|simplify|locate|obtain|rewrite"
    ),
    "finding": words(
        "finding|determining|computing|calculating|figuring out|working out|establishing|showing|proving|identifying"
        "|counting|solving|listing|bounding|deriving"
    ),
    "way": words(
        "way|ways|approach|method|strategy|idea|option|possibility|technique|solution|tack|perspective|argument|trick"
        "|viewpoint|line of attack|formulation|representation|interpretation|proof|derivation"
    ),
    "error": words("mistake|mistakes|error|slip|typo|blunder|miscalculation|oversight"),
}


@dataclass(frozen=True)
class Cue:
    """One way to word a behaviour.

    Attributes:
        kind: the behaviour.
        needs: literals, one of which stands in every text that the pattern matches.
        pattern: the expression, for prepared text.
        deniable: whether a negation before it takes its meaning away.
    """

    kind: Kind
    needs: tuple[str, ...]
    pattern: re.Pattern[str]
    deniable: bool = True


def cue(kind: Kind, needs: str, *alternatives: str, deniable: bool = True) -> Cue:
    """A cue from the `|`-separated literals that it needs and its alternatives with placeholders."""
    pattern = "|".join(alternatives)
    for name, part in _PLACEHOLDERS.items():
        pattern = pattern.replace("{" + name + "}", part)
    return Cue(kind, tuple(needs.split("|")), re.compile(pattern, re.MULTILINE), deniable)
