r"""The cues of each behaviour in English prose: (where, first words, what follows); see `trl_rlsp.behaviours.kinds`."""

from __future__ import annotations

from trl_rlsp.behaviours.kinds import Where, by_first_word

Rows = list[tuple[Where, str, str]]

_LINE = r"(?:approach|path|branch|idea|route|direction|attempt|line)"
_FAILS = r"(?:fails|failed|doesn't work|does not work|didn't work|won't work|can't work|is out|is hopeless|breaks down)"
BACKTRACKING: Rows = [
    ("me", "go step move come head circle fall roll jump turn", r" back\b(?! and forth)"),
    ("me", "backtrack retrace rewind revert undo restart scrap abandon discard ditch", r"\b"),
    ("me", "start", r" (?:over|again|afresh|anew|fresh|from scratch)\b"),
    ("me", "begin try think", r" again\b"),
    ("me", "back", r" up\b"),
    ("me", "return", r" to\b"),
    ("me", "give", r" up on\b"),
    ("me", "drop", rf" (?:this|that|it)\b| the (?:\w{{1,14}} )?{_LINE}\b"),
    ("me", "throw", r" (?:this|that|it) (?:out|away)\b"),
    ("me", "put set leave", r" (?:this|that|it)(?: \w{1,14})? aside\b"),
    ("me", "leave", rf" this (?:\w{{1,14}} )?{_LINE}\b"),
    ("told", "reject", r" (?:this|that|it)\b"),
    ("clause", "going stepping moving coming circling", r" back\b"),
    ("clause", "reverting backtracking rewinding retracing retrace", r"\b"),
    ("clause", "starting", r" (?:over|again|afresh|fresh|from scratch)\b"),
    ("clause", "back", r" to (?:the|our|my|step|case|square|equation|where|clue|\(|\d)| up(?=[,.;]|$)"),
    ("clause", "go", r" back (?:to|and)\b"),
    ("clause", "return returning revert rewind", r" to\b"),
    ("clause", "backtrack", r"(?! (?:algorithm|search))"),
    ("clause", "undo", r" (?:that|this|the last)\b"),
    ("clause", "scrap abandon discard ditch", r" (?:that|this|it|the)\b"),
    ("clause", "start", r" over\b"),
    ("clause", "forget", r" (?:about )?(?:that|this|it|the|\d)"),
    ("clause", "from", r" (?:the (?:beginning|start|top)|scratch)(?=[,.:;]|$| again)"),
    ("any!", "a another is", r" dead[ -]end\b"),
    ("clause!", "dead", r" end\b"),
    ("clause!", "dead-end", r"\b"),
    ("any", "blind", r" alley\b"),
    ("any!", "go going goes get gets getting got lead leads leading led", r" (?:us |me )?nowhere\b"),
    (
        "any!",
        "isn't aren't doesn't don't won't not never",
        r" (?:{gap} )?(?:leading|getting|going|leads?|gets?|goes?) (?:us |me )?(?:anywhere|to anything)\b",
    ),
    ("any", "going running", r" (?:\w{1,12} )?in circles\b"),
    ("clause!", "this that it", r" (?:isn't working\b|(?:doesn't|didn't|won't|does not|did not) work(?=[.,;]|$))"),
    ("clause!", "doesn't didn't won't", r" work(?=[.,;]|$)"),
    ("any!", "this that the so", rf" (?:\w{{1,20}} )?{_LINE} {_FAILS}\b"),
]

_SATISFY = r"(?:satisfy|hold|work|fit|match|make sense|check|agree|add up)"
_RIGHT = r"(?:right|correct|consistent|true|valid|reasonable|plausible|possible)"
_THING = r"(?:answer|result|value|sum|count|claim|number|formula)"
_FITS = r"(?:matches|checks? out|fits(?=[ .,!])|is consistent with|adds up|agrees?(?= with|[.,!]|$))"
VERIFICATION: Rows = [
    ("me", "check", r"\b(?! (?:engine|mail|box|out))"),
    ("me", "verify confirm validate double-check cross-check sanity-check triple-check", r"\b"),
    ("me", "recheck reverify recompute recalculate recount reexamine rederive", r"\b"),
    ("me", "re-check re-verify re-compute re-calculate re-count re-examine re-derive", r"\b"),
    ("told", "double cross sanity", r" (?:check|checking)\b"),
    ("me", "make be", r" (?:sure|certain)\b"),
    ("me", "test", r" (?:this|that|it|the|with|on|by)\b"),
    ("me", "run trace walk step go", r" (?:this |it )?through (?:the|this|that|it|with|my)\b(?! (?:problem|cases))"),
    ("me", "compare", r" (?:this|that|it) with\b"),
    ("me", "plug", r" (?:this|that|it|these|them) (?:back )?in(?:to)?\b"),
    (
        "me",
        "see",
        r" (?:if|whether) (?:this|that|it|they|these) (?:really )?(?:fits?|works?|holds?|match|satisf|makes? sense)",
    ),
    ("clause", "checking verifying confirming testing double-checking rechecking cross-checking", r"\b"),
    ("clause", "check recheck double-check", r"(?= ?:| (?:that|this|whether|if|with|by|it|again)\b)"),
    ("clause", "verify", r"(?= ?:| (?:that|this|with|by|it)\b)"),
    ("clause", "verification confirm", r"(?= ?:)"),
    ("clause", "test", r"(?= ?:| with\b)"),
    ("clause", "quick sanity spot final", r" (?:sanity )?(?:check|test)\b"),
    ("clause", "a", r" (?:quick|sanity|spot) (?:check|test)\b"),
    ("clause", "compare comparing", r"(?: (?:this|that|it))? with the (?:exact|known|expected|given)\b"),
    (
        "clause",
        "to",
        r" (?:be sure, |be safe, |quickly )?(?:double[- ]|cross[- ])?(?:check|verify|confirm|test)\b(?! for\b)",
    ),
    ("clause", "to", r" be (?:safe|sure|certain)\b"),
    ("clause", "just", r" to be (?:safe|sure|certain)\b"),
    ("any", "as", r" an? (?:quick |final |sanity |cross[- ]|double[- ]|simple )?(?:check|test)\b(?! for\b)"),
    ("any", "plug plugging substitute substituting putting put", r" {any} (?:back\b|in(?:to)? the original)"),
    (
        "any",
        "plug plugging substitute substituting multiply multiplying expand expanding work working",
        r" (?:it |this |that )?back\b(?! to the (?:start|beginning))",
    ),
    (
        "clause",
        "does do did",
        r" (?:this|that|it|these|they|the \w{1,20}) (?:really |actually |also |even )?"
        rf"{_SATISFY}\b[^\n.!?]{{0,100}}\?",
    ),
    ("clause", "is", rf" (?:this|that|it|the|my)(?: {_THING})? (?:really |actually )?{_RIGHT}\b[^\n.!?]{{0,60}}\?"),
    ("clause", "is", r" \S{1,20} really\b[^\n.!?]{0,60}\?"),
    ("any", "which both everything", rf" {_FITS}"),
    ("clause", "that this it they same all", rf" {_FITS}"),
    ("clause", "matches agrees", r"(?=[ .,!]|$)"),
    ("clause", "that this it which", r" (?:indeed |also |all |does )?(?:makes sense|works|holds)(?=[.,!]|$)"),
    (
        "any",
        "all both",
        r" (?:\w{1,20} )?(?:equations|conditions|constraints|sides|clues|requirements) "
        r"(?:hold|agree|match|are (?:met|satisfied))\b",
    ),
    ("any", "as", r" (?:it should|expected|required)(?: be)?\b"),
    ("any", "units", r" (?:also )?(?:work out|check|agree|match)\b"),
    ("any", "✓ ✔", r""),
    ("clause", "this that it everything", r" looks (?:good|right|correct)\b"),
    ("clause", "looks", r" (?:good|right|correct)\b"),
    ("clause", "same", r" (?:value|result)\b"),
    ("clause", "close", r" enough\b"),
    ("clause", "so", r" \S{1,12} passes(?=[.,]|$)"),
    ("any", "also", r" (?:gives|yields|comes out)\b"),
    (
        "any",
        "which",
        r" is (?:indeed )?(?:right|correct|true|consistent|as expected|what (?:we|i) (?:want|expect|need))\b",
    ),
    (
        "any",
        "for",
        r" \w{1,3} ?= ?\d{1,4}\b[^\n.!?]{3,70}\b"
        r"(?:true|correct|holds|works|ok|okay|matches|as expected|agrees)(?=[.,;!]|$)",
    ),
]

_DO = r"(?:we|i|let|what|one|try|consider|use|it|how about|why not)"
_PLACE = r"(?! (?:to|from|into) the (?!same|answer))"
ALTERNATIVES: Rows = [
    ("any", "alternatively", r"\b"),
    ("any", "another", r"(?: \w{3,14})? {way}\b" + _PLACE),
    ("any", "a an some", r"(?: (?:much|far|totally|completely|slightly))? {better}(?: \w{3,14})? {way}\b" + _PLACE),
    ("any", "what", r" if (?:i|we|instead)\b"),
    ("clause", "what how", r" about (?:using|trying|an? |we |i |\w{3,14}ing\b)"),
    ("clause", "why", r" not (?:using|try|use|just|\w{3,14}ing\b)"),
    ("me", "try do", r" something else\b"),
    ("any", "or one we i you", r" (?:could|can|might) (?:also|instead|alternatively|equally)\b"),
    ("any", "or", r" (?:we|i|one) (?:could|can)\b"),
    ("any", "on", r" the other hand, (?:we|i|one) (?:could|can|might)\b"),
    ("any", "i we", r" could (?:look for|try|use|apply|think of)\b"),
    (
        "clause",
        "maybe perhaps",
        r" (?:use|try|consider|think|it(?:'s| is| would be) (?:easier|better|simpler|quicker)"
        r"|(?:we|i|one) (?:can|could|should|might))\b",
    ),
    ("clause", "would could might", r" it (?:help|be (?:easier|simpler|better|quicker|faster))\b"),
    (
        "any",
        "this it that which",
        r" (?:can|could|may) also be (?:done|solved|proved|shown|computed|seen|written|counted)\b",
    ),
    ("clause", "instead", rf" of {{gap}}, {_DO}\b|,? (?:let's|let me|we|i|try|consider)\b"),
    ("clause", "rather", rf" than {{gap}}, {_DO}\b"),
    ("told", "try use consider look suppose", r"\b[^\n.!?]{0,60}\binstead\b"),
    ("clause", "either", r" (?:i|we)\b{any}\bor (?:i|we)\b"),
    (
        "any",
        "think look see try approach do check count compute solve",
        r" [^\n.,;!?]{0,40}(?:differently|another way|from a different angle|the other way (?:round|around))\b",
    ),
    ("clause", "one", r" option\b"),
    ("any", "there's", r" also (?:an? |the )(?:\w{1,14} )?{way}\b"),
    ("any", "there", r" is also (?:an? |the )(?:\w{1,14} )?{way}\b"),
]

_WRONG = r"(?:wrong|incorrect|not (?:quite )?(?:right|correct)|off(?=[.,:;])|contradictory|{error})"
_MORE = r"(?: a| an| my| clearly| actually| obviously){0,2}"
_PERHAPS = r"(?: have| had| must have| also| think i| seem to have| may have| might have)?"
_SLIPPED = (
    r"(?:forgot|forgotten|miscounted|misread|miscalculated|misremembered|misapplied|mixed up|confused|overlooked"
    r"|(?:dropped|swapped) (?:a|the)|double[- ]counted|(?:missed|neglected|omitted|left out) (?:an?|the|one|that)"
    r"|was mistaken|mistakenly|wrongly|incorrectly)"
)
SELF_CORRECTION: Rows = [
    ("any!", "that's it's", rf"{_MORE} {_WRONG}\b"),
    ("any!", "that this it which", rf" (?:is|was|seems|looks){_MORE} {_WRONG}\b"),
    (
        "any!",
        "that this it",
        r" (?:(?:can't|cannot|can not) be|isn't|wasn't|doesn't (?:look|seem|sound)) (?:quite )?(?:right|correct)\b",
    ),
    ("any!", "that this which", r" contradicts (?:what|my|the (?:earlier|previous|above))\b"),
    ("any", "there's", r" (?:an?|some) (?:\w{1,14} )?{error} (?:somewhere|here|in my|above)\b"),
    (
        "any",
        "there",
        r" (?:is|must be|has to be) (?:an?|some) (?:\w{1,14} )?{error} (?:somewhere|here|in my|above)\b",
    ),
    ("clause", "oops whoops apologies", r"\b"),
    ("clause", "my", r" (?:mistake|bad|error)\b"),
    ("clause", "sorry", r"(?=[,.:])"),
    ("clause", "i'm", r" sorry(?=[,.:])"),
    ("clause", "correction fix", r"(?= ?:)"),
    ("clause", "silly", r" me\b"),
    ("clause", "scratch strike ignore", r" that\b"),
    ("clause", "never", r" mind\b"),
    ("clause", "i", r" stand corrected\b"),
    ("me", "take", r" (?:that|it) back\b"),
    (
        "any",
        "i we i've we've i'd",
        r"(?: have| must have| had| may have| might have)? (?:made|make) (?:an?|the|some|my)(?: \w{1,14})? {error}\b",
    ),
    ("any", "see found spotted here's", r" (?:an?|the|my) (?:\w{1,14} )?{error}\b(?= in my| above| here| now|[.:,])"),
    ("any", "what where", r" (?:i |it |that |this )?went wrong\b"),
    (
        "any",
        "i we i've we've i'd",
        rf"{_PERHAPS}(?: (?:accidentally|just|mistakenly|wrongly|incorrectly))? {_SLIPPED}\b",
    ),
    ("any", "i we", r"(?: must have| have)? (?:counted|used|added|included) {gap} twice\b"),
    (
        "any",
        "my",
        r" (?:earlier|previous|first|initial|last) {any} (?:was|is|were) (?:wrong|incorrect|off|flawed|false)\b",
    ),
    ("any", "i", r" (?:previously|earlier) (?:said|wrote|claimed|thought|used|had|assumed|got)\b"),
    (
        "any",
        "i",
        r" (?:said|wrote|claimed|thought|assumed|took|concluded)(?: \w{1,12}){0,3} (?:earlier|before|above)\b",
    ),
    ("any", "and but because since while", r" i (?:had )?(?:wrote|written|put|used|assumed|said)\b"),
    (
        "any",
        "the my",
        r" (?:previous|earlier|above) (?:conclusion|claim|result|answer|step|line|value) "
        r"(?:has to be|must be|needs to be|should be|is|was) (?:changed|revised|corrected|wrong|incorrect|fixed)\b",
    ),
    ("any", "above", r",? i (?:took|used|wrote|said|had|assumed|put)\b"),
    ("clause", "no", r",? (?:wait|actually)\b|, {any}\bshould be\b"),
    ("clause", "wait hmm oh ah actually", r",? no(?=[\s,.:!-])(?! (?:one|such|solution|matter))"),
    ("clause", "oh ah actually", r",? wait\b"),
    ("any", "no", r"(?<=[\d)}$], no), (?=[\d$\\(-]|it|that)"),
    ("any", "i've", r" been (?:computing|using|counting|assuming|solving|treating|reading)\b"),
    ("any", "i", r" have been (?:computing|using|counting|assuming|solving|treating|reading)\b"),
    (
        "clause",
        "wait hold hmm actually",
        r"\b[^\n]{1,80}\b(?:should (?:be|have been|read|say)|need to fix)\b[^\n.]{1,40}\b(?:not|rather than|that)\b",
    ),
    ("clause", "wait hmm oh", r"\b{any}\bactually\b"),
    (
        "any",
        "it that this",
        r" should (?:really |actually )?(?:be|read|say|have been)\b[^\n.;!?]{1,60}"
        r"(?:, not\b|\brather than\b|\binstead of\b)",
    ),
    ("me", "fix correct revise amend rectify", r"(?: (?:this|that|it|the|my)\b| ?:)"),
    ("me", "redo", r"\b"),
    ("clause", "fixing", r" (?:this|that|it)\b"),
    ("clause", "correcting redoing", r"\b"),
]

_WHOLE = r"(?:this|it|that|things|the (?:problem|task|question|figure|sum|proof|calculation|region|count|work))"
_PARTS = r"(?:parts|pieces|steps|cases|a\b|sub|two|three|four|smaller)"
_SOLVE = r"(?:find|get|compute|determine|solve|prove|show|answer|calculate)"
_NEED = r"(?:i|we)(?:'ll)? (?:first )?(?:need|must|have to|require)"
SUBGOALS: Rows = [
    (
        "any",
        "first",
        r",? (?:i|we|let me|let's|let us)(?:'ll| will| can| must| should| need| want| have)?(?: to)? {find}\b",
    ),
    ("me", "first", r" (?:need to |have to |want to |must |try to )?{find}\b"),
    ("any", "need want have", r" first to {find}\b"),
    ("any", "before", r" (?:(?:i|we) can|anything else)\b"),
    ("me", "find determine compute calculate establish prove know count identify", r" {any}\b(?:first|before)\b"),
    ("any", "next then", r",? (?:i|we) (?:need|want|have) to {find}\b"),
    ("any", "once", r" (?:i|we) (?:have|know|find|get)\b"),
    (
        "any",
        "break breaking split splitting divide dividing decompose decomposing separate separating",
        rf" {_WHOLE} (?:up |down )?(?:into|in) (?:\w{{1,12}} )?{_PARTS}",
    ),
    ("any", "break breaking", r" (?:this|it|that|things) down\b"),
    (
        "any",
        "problem task question proof calculation work",
        r" (?:\w{1,12} )?(?:splits|breaks|decomposes|divides|reduces|falls|boils) (?:down |up )?(?:in)?to\b",
    ),
    ("clause", "step", r" \d{1,2}\*{0,2} ?[:.)]"),
    ("clause", "plan todo to-do outline steps", r" ?:"),
    ("any", "the my our", r" (?:overall )?plan(?: is)? ?(?:to\b|:)"),
    ("any", "subgoal subgoals sub-goal sub-goals subproblem subproblems sub-problem sub-problems subtask", r"\b"),
    ("clause", "lemma", r" \d"),
    ("any", "our the my", r" (?:first|next|remaining|current|second) (?:task|goal|step|job|aim|objective) is\b"),
    ("any", "so now", r",? (?:the|our|my) (?:goal|aim|task|job) is\b"),
    ("any", "it", r" (?:therefore |now |then )?(?:suffices|is enough|remains|only remains) to {find}\b"),
    ("any", "what", r" remains is to\b"),
    ("any", "all", r" that remains is to\b"),
    ("any", "remaining", r" is to {find}\b"),
    ("any", "left", r" with {finding}\b"),
    ("clause", "if", r" (?:i|we) (?:can|could) (?:only |just )?(?:find|show|prove|get|establish|determine)\b"),
    (
        "any",
        "i we",
        r" (?:need|want|require|establish|prove) (?:two|three|four|the following|\d) (?:\w{1,12} )?"
        r"(?:things|quantities|pieces|values|steps|facts|numbers|ingredients|lemmas|claims)\b",
    ),
    ("clause", "to", rf" {_SOLVE} {{gap}}, {_NEED}\b"),
    ("clause", "in", rf" order to {_SOLVE} {{gap}}, {_NEED}\b"),
    ("me", "start begin", r" (?:by|with) {finding}\b"),
    ("any", "start", r" by {finding}\b"),
    ("me", "work", r" backwards?\b"),
    ("me", "handle treat consider take do solve count", r" {any}\b(?:separately|in turn|one at a time)\b"),
]

CUES = by_first_word(
    {
        "backtracking": BACKTRACKING,
        "verification": VERIFICATION,
        "alternatives": ALTERNATIVES,
        "self_correction": SELF_CORRECTION,
        "subgoals": SUBGOALS,
    }
)
"""First word -> the cues that start with it."""
