r"""The five search behaviors and their cues: the ways to word them in English prose.

A text is read word by word; only at a word that some cue starts with is anything tried, so that a whole batch is read
in milliseconds. Cues are for text prepared by `_prose` (lower case, plain quotation marks). Every gap in them is
bounded, so that time is linear in the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Kind = Literal["backtracking", "verification", "alternatives", "self_correction", "subgoals"]

MEANINGS: dict[Kind, str] = {
    "backtracking": "gives up the present line of attack and returns to an earlier point, or starts over",
    "verification": "checks a result or a step that it already has",
    "alternatives": "names another approach to what it is working on",
    "self_correction": "finds a mistake of its own and repairs it",
    "subgoals": "sets itself an intermediate goal, or splits the problem into parts",
}
"""What the author of a text does where a behavior is found; the labels of the test snippets follow it."""

KINDS: tuple[Kind, ...] = tuple(MEANINGS)
"""What is looked for, in the order of every table."""


@dataclass(frozen=True, order=True)
class Behaviour:
    """One occurrence of a behavior, from the offset `start` in the text up to `end`."""

    start: int
    end: int
    kind: Kind


Cue = tuple[Kind, str, re.Pattern[str], bool]
"""(kind, where it may stand, what must follow its first word, whether a negation before it takes its meaning away)."""

_PLACEHOLDERS = {
    "gap": r"[^\n.,;:!?]{1,60}",
    "any": r"[^\n.!?]{1,60}",
    "word": r"(?:\w{1,14} )?",
    "it": r"(?:this|that|it)",
    "wrong": r"(?:wrong|incorrect|not (?:quite )?(?:right|correct)|off(?=[.,:;])|contradictory|{error})",
    "line": r"(?:approach|path|branch|idea|route|direction|attempt|line)",
    "fails": r"""(?:fails|failed|doesn't work|does not work|didn't work|won't work|can't work|is out|is hopeless
        |breaks down)""",
    "satisfy": r"(?:satisfy|hold|work|fit|match|make sense|check|agree|add up)",
    "right": r"(?:right|correct|consistent|true|valid|reasonable|plausible|possible)",
    "thing": r"(?:answer|result|value|sum|count|claim|number|formula)",
    "fits": r"(?:matches|checks? out|fits(?=[ .,!])|is consistent with|adds up|agrees?(?= with|[.,!]|$))",
    "do": r"(?:we|i|let|what|one|try|consider|use|it|how about|why not)",
    "place": r"(?! (?:to|from|into) the (?!same|answer))",
    "more": r"(?: a| an| my| clearly| actually| obviously){0,2}",
    "perhaps": r"(?: have| had| must have| also| think i| seem to have| may have| might have)?",
    "slipped": r"""(?:forgot|forgotten|miscounted|misread|miscalculated|misremembered|misapplied|mixed up|confused
        |overlooked|(?:dropped|swapped) (?:a|the)|double[- ]counted|(?:missed|neglected|omitted|left out) (?:an?|the
        |one|that)|was mistaken|mistakenly|wrongly|incorrectly)""",
    "whole": r"(?:this|it|that|things|the (?:problem|task|question|figure|sum|proof|calculation|region|count|work))",
    "parts": r"(?:parts|pieces|steps|cases|a\b|sub|two|three|four|smaller)",
    "solve": r"(?:find|get|compute|determine|solve|prove|show|answer|calculate)",
    "need": r"(?:i|we)(?:'ll)? (?:first )?(?:need|must|have to|require)",
    "find": r"""(?:find|determine|compute|calculate|establish|show|prove|know|identify|count|solve|get|derive
        |understand|express|isolate|compare|list|evaluate|settle|see|have|fix|reduce|simplify|locate|obtain|rewrite
        |figure out|work out)""",
    "finding": r"""(?:finding|determining|computing|calculating|establishing|showing|proving|identifying|counting
        |solving|listing|bounding|deriving|figuring out|working out)""",
    "way": r"""(?:way|ways|approach|method|strategy|idea|option|possibility|technique|solution|tack|perspective
        |argument|trick|viewpoint|formulation|representation|interpretation|proof|derivation|line of attack)""",
    "better": r"""(?:different|alternative|easier|simpler|better|quicker|faster|slicker|cleaner|second|other|shorter
        |nicer|neater|cleverer|smarter|geometric|combinatorial|probabilistic|more (?:direct|elegant|efficient|clever
        |systematic))""",
    "error": r"(?:mistake|mistakes|error|slip|typo|blunder|miscalculation|oversight)",
}

_RULES: dict[tuple[Kind, str], str] = {
    ("backtracking", "me"): r"""
    (go step move come head circle fall roll jump turn) back\b(?! and forth);
    (backtrack retrace rewind revert undo restart scrap abandon discard ditch)\b;
    start (?:over|again|afresh|anew|fresh|from scratch)\b; (begin try think) again\b; back up\b; return to\b;
    give up on\b; drop {it}\b| the {word}{line}\b; throw {it} (?:out|away)\b;
    (put set leave) {it}(?: \w{1,14})? aside\b; leave this {word}{line}\b""",
    ("backtracking", "told"): r"reject {it}\b",
    ("backtracking", "clause"): r"""
    (going stepping moving coming circling) back\b; (reverting backtracking rewinding retracing retrace)\b;
    starting (?:over|again|afresh|fresh|from scratch)\b;
    back to (?:the|our|my|step|case|square|equation|where|clue|\(|\d)| up(?=[,.;]|$); go back (?:to|and)\b;
    (return returning revert rewind) to\b; backtrack(?! (?:algorithm|search)); undo (?:that|this|the last)\b;
    (scrap abandon discard ditch) (?:that|this|it|the)\b; start over\b; forget (?:about )?(?:that|this|it|the|\d);
    from (?:the (?:beginning|start|top)|scratch)(?=[,.:;]|$| again)""",
    ("backtracking", "any!"): r"""
    (a another is) dead[ -]end\b; (go going goes get gets getting got lead leads leading led) (?:us |me )?nowhere\b;
    (isn't aren't doesn't don't won't not never) (?:{gap} )?(?:leading|getting|going|leads?|gets?
    |goes?) (?:us |me )?(?:anywhere|to anything)\b; (this that the so) (?:\w{1,20} )?{line} {fails}\b""",
    ("backtracking", "clause!"): r"""
    dead end\b; dead-end\b;
    (this that it) (?:isn't working\b|(?:doesn't|didn't|won't|does not|did not) work(?=[.,;]|$));
    (doesn't didn't won't) work(?=[.,;]|$)""",
    ("backtracking", "any"): r"blind alley\b; (going running) (?:\w{1,12} )?in circles\b",
    ("verification", "me"): r"""
    check\b(?! (?:engine|mail|box|out)); (verify confirm validate double-check cross-check sanity-check triple-check)\b;
    (recheck reverify recompute recalculate recount reexamine rederive)\b;
    (re-check re-verify re-compute re-calculate re-count re-examine re-derive)\b; (make be) (?:sure|certain)\b;
    test (?:this|that|it|the|with|on|by)\b;
    (run trace walk step go) (?:this |it )?through (?:the|this|that|it|with|my)\b(?! (?:problem|cases));
    compare {it} with\b; plug (?:this|that|it|these|them) (?:back )?in(?:to)?\b;
    see (?:if|whether) (?:this|that|it|they|these) (?:really )?(?:fits?|works?|holds?|match|satisf|makes? sense)""",
    ("verification", "told"): r"(double cross sanity) (?:check|checking)\b",
    ("verification", "clause"): r"""
    (checking verifying confirming testing double-checking rechecking cross-checking)\b;
    (check recheck double-check)(?= ?:| (?:that|this|whether|if|with|by|it|again)\b);
    verify(?= ?:| (?:that|this|with|by|it)\b); (verification confirm)(?= ?:); test(?= ?:| with\b);
    (quick sanity spot final) (?:sanity )?(?:check|test)\b; a (?:quick|sanity|spot) (?:check|test)\b;
    (compare comparing)(?: {it})? with the (?:exact|known|expected|given)\b;
    to (?:be sure, |be safe, |quickly )?(?:double[- ]|cross[- ])?(?:check|verify|confirm|test)\b(?! for\b);
    to be (?:safe|sure|certain)\b; just to be (?:safe|sure|certain)\b;
    (does do did) (?:this|that|it|these|they
    |the \w{1,20}) (?:really |actually |also |even )?{satisfy}\b[^\n.!?]{0,100}\?;
    is (?:this|that|it|the|my)(?: {thing})? (?:really |actually )?{right}\b[^\n.!?]{0,60}\?;
    is \S{1,20} really\b[^\n.!?]{0,60}\?; (that this it they same all) {fits}; (matches agrees)(?=[ .,!]|$);
    (that this it which) (?:indeed |also |all |does )?(?:makes sense|works|holds)(?=[.,!]|$);
    (this that it everything) looks (?:good|right|correct)\b; looks (?:good|right|correct)\b; same (?:value|result)\b;
    close enough\b; so \S{1,12} passes(?=[.,]|$)""",
    ("verification", "any"): r"""
    as an? (?:quick |final |sanity |cross[- ]|double[- ]|simple )?(?:check|test)\b(?! for\b);
    (plug plugging substitute substituting putting put) {any} (?:back\b|in(?:to)? the original);
    (plug plugging substitute substituting multiply multiplying expand expanding work working) (?:it |this |that )
    ?back\b(?! to the (?:start|beginning)); (which both everything) {fits};
    (all both) (?:\w{1,20} )?(?:equations|conditions|constraints|sides|clues|requirements) (?:hold|agree|match
    |are (?:met|satisfied))\b; as (?:it should|expected|required)(?: be)?\b;
    units (?:also )?(?:work out|check|agree|match)\b; (✓ ✔); also (?:gives|yields|comes out)\b;
    which is (?:indeed )?(?:right|correct|true|consistent|as expected|what (?:we|i) (?:want|expect|need))\b;
    for \w{1,3} ?= ?\d{1,4}\b[^\n.!?]{3,70}\b(?:true|correct|holds|works|ok|okay|matches|as expected
    |agrees)(?=[.,;!]|$)""",
    ("alternatives", "any"): r"""
    alternatively\b; another(?: \w{3,14})? {way}\b{place};
    (a an some)(?: (?:much|far|totally|completely|slightly))? {better}(?: \w{3,14})? {way}\b{place};
    what if (?:i|we|instead)\b; (or one we i you) (?:could|can|might) (?:also|instead|alternatively|equally)\b;
    or (?:we|i|one) (?:could|can)\b; on the other hand, (?:we|i|one) (?:could|can|might)\b;
    (i we) could (?:look for|try|use|apply|think of)\b;
    (this it that which) (?:can|could|may) also be (?:done|solved|proved|shown|computed|seen|written|counted)\b;
    (think look see try approach do check count compute solve) [^\n.,;!?]{0,40}(?:differently|another way
    |from a different angle|the other way (?:round|around))\b; there's also (?:an? |the ){word}{way}\b;
    there is also (?:an? |the ){word}{way}\b""",
    ("alternatives", "clause"): r"""
    (what how) about (?:using|trying|an? |we |i |\w{3,14}ing\b); why not (?:using|try|use|just|\w{3,14}ing\b);
    (maybe perhaps) (?:use|try|consider|think|it(?:'s| is| would be) (?:easier|better|simpler|quicker)|(?:we|i
    |one) (?:can|could|should|might))\b; (would could might) it (?:help|be (?:easier|simpler|better|quicker|faster))\b;
    instead of {gap}, {do}\b|,? (?:let's|let me|we|i|try|consider)\b; rather than {gap}, {do}\b;
    either (?:i|we)\b{any}\bor (?:i|we)\b; one option\b""",
    ("alternatives", "me"): r"(try do) something else\b",
    ("alternatives", "told"): r"(try use consider look suppose)\b[^\n.!?]{0,60}\binstead\b",
    ("self_correction", "any!"): r"""
    (that's it's){more} {wrong}\b; (that this it which) (?:is|was|seems|looks){more} {wrong}\b;
    (that this it) (?:(?:can't|cannot|can not) be|isn't|wasn't|doesn't (?:look|seem|sound)) (?:quite )?(?:right
    |correct)\b; (that this which) contradicts (?:what|my|the (?:earlier|previous|above))\b""",
    ("self_correction", "any"): r"""
    there's (?:an?|some) {word}{error} (?:somewhere|here|in my|above)\b;
    there (?:is|must be|has to be) (?:an?|some) {word}{error} (?:somewhere|here|in my|above)\b;
    (i we i've we've i'd)(?: have| must have| had| may have| might have)? (?:made|make) (?:an?|the|some|my)
    (?: \w{1,14})? {error}\b;
    (see found spotted here's) (?:an?|the|my) {word}{error}\b(?= in my| above| here| now|[.:,]);
    (what where) (?:i |it |that |this )?went wrong\b;
    (i we i've we've i'd){perhaps}(?: (?:accidentally|just|mistakenly|wrongly|incorrectly))? {slipped}\b;
    (i we)(?: must have| have)? (?:counted|used|added|included) {gap} twice\b;
    my (?:earlier|previous|first|initial|last) {any} (?:was|is|were) (?:wrong|incorrect|off|flawed|false)\b;
    i (?:previously|earlier) (?:said|wrote|claimed|thought|used|had|assumed|got)\b;
    i (?:said|wrote|claimed|thought|assumed|took|concluded)(?: \w{1,12}){0,3} (?:earlier|before|above)\b;
    (and but because since while) i (?:had )?(?:wrote|written|put|used|assumed|said)\b;
    (the my) (?:previous|earlier|above) (?:conclusion|claim|result|answer|step|line|value) (?:has to be|must be
    |needs to be|should be|is|was) (?:changed|revised|corrected|wrong|incorrect|fixed)\b;
    above,? i (?:took|used|wrote|said|had|assumed|put)\b; no(?<=[\d)}$], no), (?=[\d$\\(-]|it|that);
    i've been (?:computing|using|counting|assuming|solving|treating|reading)\b;
    i have been (?:computing|using|counting|assuming|solving|treating|reading)\b;
    (it that this) should (?:really |actually )?(?:be|read|say|have been)\b[^\n.;!?]{1,60}(?:, not\b|\brather than\b
    |\binstead of\b)""",
    ("self_correction", "clause"): r"""
    (oops whoops apologies)\b; my (?:mistake|bad|error)\b; sorry(?=[,.:]); i'm sorry(?=[,.:]); (correction fix)(?= ?:);
    silly me\b; (scratch strike ignore) that\b; never mind\b; i stand corrected\b;
    no,? (?:wait|actually)\b|, {any}\bshould be\b;
    (wait hmm oh ah actually),? no(?=[\s,.:!-])(?! (?:one|such|solution|matter)); (oh ah actually),? wait\b;
    (wait hold hmm actually)\b[^\n]{1,80}\b(?:should (?:be|have been|read|say)|need to fix)\b[^\n.]{1,40}\b(?:not
    |rather than|that)\b; (wait hmm oh)\b{any}\bactually\b; fixing {it}\b; (correcting redoing)\b""",
    ("self_correction", "me"): r"""
    take (?:that|it) back\b; (fix correct revise amend rectify)(?: (?:this|that|it|the|my)\b| ?:); redo\b""",
    ("subgoals", "any"): r"""
    first,? (?:i|we|let me|let's|let us)(?:'ll| will| can| must| should| need| want| have)?(?: to)? {find}\b;
    (need want have) first to {find}\b; before (?:(?:i|we) can|anything else)\b;
    (next then),? (?:i|we) (?:need|want|have) to {find}\b; once (?:i|we) (?:have|know|find|get)\b;
    (break breaking split splitting divide dividing decompose decomposing separate separating) {whole} (?:up |down )
    ?(?:into|in) (?:\w{1,12} )?{parts}; (break breaking) (?:this|it|that|things) down\b;
    (problem task question proof calculation work) (?:\w{1,12} )?(?:splits|breaks|decomposes|divides|reduces|falls
    |boils) (?:down |up )?(?:in)?to\b; (the my our) (?:overall )?plan(?: is)? ?(?:to\b|:);
    (subgoal subgoals sub-goal sub-goals subproblem subproblems sub-problem sub-problems subtask)\b;
    (our the my) (?:first|next|remaining|current|second) (?:task|goal|step|job|aim|objective) is\b;
    (so now),? (?:the|our|my) (?:goal|aim|task|job) is\b;
    it (?:therefore |now |then )?(?:suffices|is enough|remains|only remains) to {find}\b; what remains is to\b;
    all that remains is to\b; remaining is to {find}\b; left with {finding}\b;
    (i we) (?:need|want|require|establish|prove) (?:two|three|four|the following|\d) (?:\w{1,12} )?(?:things
    |quantities|pieces|values|steps|facts|numbers|ingredients|lemmas|claims)\b; start by {finding}\b""",
    ("subgoals", "me"): r"""
    first (?:need to |have to |want to |must |try to )?{find}\b;
    (find determine compute calculate establish prove know count identify) {any}\b(?:first|before)\b;
    (start begin) (?:by|with) {finding}\b; work backwards?\b;
    (handle treat consider take do solve count) {any}\b(?:separately|in turn|one at a time)\b""",
    ("subgoals", "clause"): r"""
    step \d{1,2}\*{0,2} ?[:.)]; (plan todo to-do outline steps) ?:; lemma \d;
    if (?:i|we) (?:can|could) (?:only |just )?(?:find|show|prove|get|establish|determine)\b; to {solve} {gap}, {need}\b;
    in order to {solve} {gap}, {need}\b""",
}
"""(kind, where) -> rules: first words, in brackets if several, and what follows.

Where the first word may stand: `any`where; where a `clause` opens; after the author's announcement that he does it
(`me`: `let me`, `I should`); either of these two (`told`). With `!`, a negation before it does not count. Rules end
with `; ` or `;` and a line break; other line breaks are no part of them.
"""


def _cues() -> dict[str, list[Cue]]:
    cues: dict[str, list[Cue]] = {}
    for (kind, where), rules in _RULES.items():
        for rule in re.split(r";\s+", rules.strip()):
            parts = re.fullmatch(r"(?:\(([^)]*)\)|([a-z'-]+))(.*)", re.sub(r"\n\s*", "", rule))
            several, one, rest = parts.groups()  # type: ignore[union-attr]
            for name, part in _PLACEHOLDERS.items():
                rest = rest.replace("{" + name + "}", re.sub(r"\n\s*", "", part))
            cue = (kind, where.rstrip("!"), re.compile(rest, re.MULTILINE), not where.endswith("!"))
            for word in (several or one).split():
                cues.setdefault(word, []).append(cue)
    return cues


CUES = _cues()
"""First word -> the cues that start with it."""
