r"""The cues of each behaviour in English prose; see `trl_rlsp.behaviours.cue` for how they are written."""

from __future__ import annotations

from trl_rlsp.behaviours.cue import Cue, cue, words

_RETREAT = words(
    r"(?:go|step|move|come|head|circle|fall|roll|back|jump|turn) (?:back|up)(?! and forth)|backtrack|retrace|rewind"
    r"|revert|return to|undo|start (?:over|again|afresh|anew|from scratch)|restart|scrap|abandon|discard|ditch"
    r"|give up on|drop (?:this|that|the)|reject (?:this|that|it)|throw (?:this|that|it) (?:out|away)|try again"
    r"|(?:put|set|leave) (?:this|that|it)(?: \w+)? aside|leave this (?:\w+ )?(?:route|path|approach|branch|idea)"
)
BACKTRACKING = (
    cue(
        "backtracking",
        "back|retrac|rewind|revert|return|undo|start|scrap|abandon|discard|ditch|give up|drop|reject|throw|again"
        "|aside|leave this",
        rf"{{me}} {_RETREAT}\b",
    ),
    cue(
        "backtracking",
        "back|return|revert|rewind|retrac|starting",
        r"{start}(?:going|stepping|moving|coming|circling|backing) (?:back|up)\b",
        r"{start}(?:returning|reverting|backtracking|rewinding|retracing)\b",
        r"{start}starting (?:over|again|afresh|from scratch)\b",
        r"{start}back to (?:the|our|my|step|case|square|equation|where|clue|\()",
    ),
    cue(
        "backtracking",
        "back|return to|revert|rewind|retrac|undo|scrap|abandon|discard|ditch|reject|start over|forget|from the",
        r"{start}(?:go back (?:to|and)|backtrack(?! (?:algorithm|search))|back up(?=[,.;]|$)|return to|revert to)\b",
        r"{start}(?:rewind to|retrace|undo (?:that|this|the last)|scrap (?:that|this|it)|start over)\b",
        r"{start}(?:abandon|discard|ditch|reject) (?:that|this|it|the)\b",
        r"{start}forget (?:about )?(?:that|this|it|the|\d)",
        r"{start}(?:(?:again )?from the (?:beginning|start|top)|from scratch)(?=[,.:;]|$| again)",
    ),
    cue(
        "backtracking",
        "dead end|dead-end|nowhere|anywhere|anything|circles|blind alley|n't working",
        r"(?:\b(?:a|another)|\bis|{start}(?!the)) ?\bdead[ -]end\b",
        r"\bblind alley\b",
        r"\b(?:go|going|goes|gets?|getting|got|leads?|leading|led) (?:us |me )?nowhere\b",
        r"\b(?:n't|not|never) {gap}\b(?:leading|getting|going|leads?|gets?|goes?) (?:us |me )?(?:any(?:where)\b|to anything)",
        r"n't (?:leading|getting|going|lead|get|go) (?:us |me )?(?:anywhere\b|to anything\b)",
        r"\b(?:going|running) (?:\w{1,12} )?in circles\b",
        r"{start}(?:this|that|it) isn't working\b",
        deniable=False,
    ),
    cue(
        "backtracking",
        "approach|path|branch|idea|route|direction|attempt|line",
        r"\b(?:so|this|that|the) (?:\w{1,20} )?(?:approach|path|branch|idea|route|direction|attempt|line) "
        r"(?:fails|failed|doesn't work|does not work|didn't work|won't work|can't work|is out|is hopeless|is closed"
        r"|breaks down)\b",
        deniable=False,
    ),
)

_CHECK = words(
    r"(?:double|triple|cross|sanity)?[- ]?check|re-?check|re-?verify|verify|confirm|validate|make sure|be (?:sure|certain)"
    r"|re-?(?:compute|calculate|count|examine|derive)|test (?:this|that|it|the|with|on|by)|see if that fits"
    r"|(?:run|trace|walk|step|go) through (?:the|this|that|it|with)\b(?! (?:problem|cases))|compare (?:this|that|it) with"
    r"|plug (?:this|that|it|these|them) (?:back )?in(?:to)?"
)
VERIFICATION = (
    cue(
        "verification",
        "check|verify|confirm|validate|test|make sure|through|prove|re|plug|be sure",
        rf"{{me}} {_CHECK}\b(?! (?:engine|mail|box|out))",
    ),
    cue(
        "verification",
        "check|verif|confirm|test|compar",
        r"{start}(?:(?:double[- ]|cross[- ]|re)?checking|verifying|confirming|testing)\b",
        r"{start}(?:double[- ]|re)?check(?= ?:| (?:that|this|whether|if|with|by|it|again)\b)",
        r"{start}(?:verify(?= ?:| (?:that|this|with|by|it)\b)|verification(?= ?:)|confirm(?= ?:)|test(?= ?:| with\b))",
        r"{start}(?:a )?(?:quick|sanity|spot|final) (?:sanity )?(?:check|test)\b",
        r"{start}(?:compare|comparing)(?: (?:this|that|it))? with the (?:exact|known|expected|given)\b",
    ),
    cue(
        "verification",
        "check|verify|confirm|test|sure|safe",
        r"(?:{start}to|\bas) (?:a |an |be sure, |be safe, )?(?:quick |final |sanity |cross[- ]|double[- ]|simple )?"
        r"(?:check|verify|confirm|test)\b(?! for\b)",
        r"{start}(?:just )?to be (?:safe|sure|certain)\b",
    ),
    cue(
        "verification",
        "back|original",
        r"\b(?:plug(?:ging)?|substitut(?:e|ing)|putting|put) {any} (?:back\b|in(?:to)? the original)",
        r"\b(?:plug(?:ging)?|substitut(?:e|ing)|multiply(?:ing)?|expand(?:ing)?|work(?:ing)?) (?:it |this |that )?back\b"
        r"(?! to the (?:start|beginning)|ward)",
    ),
    cue(
        "verification",
        "?",
        r"{start}(?:does|do|did) (?:this|that|it|these|they|the \w{1,20}) (?:really |actually |also |even )?"
        r"(?:satisfy|hold|work|fit|match|make sense|check|agree|add up)\b[^\n.!?]{0,100}\?",
        r"{start}is (?:this|that|it|the|my)(?: (?:answer|result|value|sum|count|claim|number|formula))? "
        r"(?:really |actually |even )?(?:right|correct|consistent|true|valid|reasonable|plausible|possible)\b[^\n.!?]{0,60}\?",
        r"{start}is \S{1,20} really\b[^\n.!?]{0,60}\?",
    ),
    cue(
        "verification",
        "match|agree|checks out|fits|consistent|add|makes sense|works|holds",
        r"(?:{start}|\b(?:which|that|this|it|both|everything) )(?:(?:which|both|everything|they|all|same) )?"
        r"(?:matches|checks out|check out|fits(?=[ .,!])|is consistent with|adds up|agrees?(?= with|[.,!]|$))",
        r"{start}(?:and )?(?:that|this|it|which) (?:indeed |also |all |does )?(?:makes sense|works|holds)(?=[.,!]|$)",
        r"\b(?:all|both) (?:\w{1,20} )?(?:equations|conditions|constraints|sides|clues|requirements) "
        r"(?:hold|agree|match|are (?:met|satisfied))\b",
    ),
    cue(
        "verification",
        "should|expected|required|units|✓|✔|looks |same value|same result|see if|see whether|passes|close enough|which is",
        r"\bas (?:it should|expected|required)(?: be)?\b|\bunits (?:also )?(?:work out|check|agree|match)\b|[✓✔]",
        r"{start}(?:(?:this|that|it|everything) )?looks (?:good|right|correct)\b|{start}same (?:value|result)\b",
        r"{me} see (?:if|whether) (?:this|that|it|they|these) (?:really )?(?:fits?|works?|holds?|match|satisf)",
        r"{start}(?:and |so )?\S{1,12} passes(?=[.,]|$)|{start}close enough\b",
        r"\bwhich is (?:indeed )?(?:right|correct|true|consistent|as expected|what (?:we|i) (?:want|expect|need))\b",
    ),
    cue(
        "verification",
        "for ",
        r"\bfor \w{1,3} ?= ?\d{1,4}\b[^\n.!?]{3,70}\b(?:true|correct|holds|works|ok|okay|matches|as expected|agrees)(?=[.,;!]|$)",
    ),
)

_BETTER = words(
    r"different|alternative|easier|simpler|better|quicker|faster|slicker|cleaner|second|other|shorter|nicer|neater"
    r"|cleverer|smarter|more (?:direct|elegant|efficient|clever|systematic)|geometric|combinatorial|probabilistic"
)
ALTERNATIVES = (
    cue("alternatives", "alternatively", r"\balternatively\b"),
    cue(
        "alternatives",
        "way|approach|method|strateg|idea|option|possib|techni|solution|tack|perspect|argument|trick|view|line|repres"
        "|interpr|proof|formul|deriv",
        rf"\b(?:another|(?:a|an|some)(?: (?:much|far|totally|completely|slightly))? {_BETTER})(?: \w{{3,14}})? {{way}}\b"
        r"(?! (?:to|from|into) the (?!same|answer))",
    ),
    cue(
        "alternatives",
        "what if|what about|how about|why not|something else",
        r"\bwhat if (?:i|we|instead)\b",
        r"{start}(?:what about|how about|why not) (?:using|trying|an? |we |i |\w{3,14}ing\b|just)",
        r"{me} (?:try|do) something else\b",
    ),
    cue(
        "alternatives",
        "could|can|might|maybe|perhaps|would it",
        r"\b(?:or|one|we|i|you) (?:could|can|might) (?:also|instead|alternatively|equally)\b",
        r"\bor (?:we|i|one) (?:could|can)\b|\bon the other hand, (?:we|i|one) (?:could|can|might)\b",
        r"\b(?:i|we) could (?:look for|try|use|apply|think of)\b",
        r"{start}(?:maybe|perhaps) (?:use|try|just|consider|think)\b",
        r"{start}(?:maybe|perhaps) (?:it(?:'s| is| would be) (?:easier|better|simpler|quicker)"
        r"|(?:we|i|one) (?:can|could|should|might))\b",
        r"{start}(?:would|could|might) it (?:help|be (?:easier|simpler|better|quicker|faster))\b",
        r"\b(?:this|it|that|which) (?:can|could|may) also be (?:done|solved|proved|shown|computed|seen|written|counted)\b",
    ),
    cue(
        "alternatives",
        "instead|rather than|either i|either we",
        r"{start}instead of {gap}, (?:we|i|let|what|one|try|consider|use|how about|why not)\b",
        r"{start}rather than {gap}, (?:we|i|let|what|one|try|consider|use|it)\b",
        r"{start}instead,? (?:let's|let me|we|i|try|consider)\b",
        r"{me} (?:try|use|consider|look)\b {any}\binstead\b",
        r"{start}(?:suppose|try|consider|use) (?:{any})?\binstead\b",
        r"{start}either (?:i|we)\b{any}\bor (?:i|we)\b",
    ),
    cue(
        "alternatives",
        "differently|another way|different angle|other way|one option|there's also|there is also",
        r"\b(?:think|look|see|try|approach|do|check|count|compute|solve) [^\n.,;!?]{0,40}"
        r"(?:differently|another way|from a different angle|the other way (?:round|around))\b",
        r"{start}one option\b|\bthere(?:'s| is) also (?:an? |the )(?:\w{1,14} )?{way}\b",
    ),
)

SELF_CORRECTION = (
    cue(
        "self_correction",
        "wrong|right|correct|mistake|error|off|slip|typo|contradict|strange",
        r"\b(?:that|this|it|which)(?:'s| is| was| seems| looks)(?: a| an| my| clearly| actually| obviously){0,2} "
        r"(?:wrong|incorrect|not (?:quite )?(?:right|correct)|off(?=[.,:;])|contradictory|{error})\b",
        r"\b(?:that|this|it) (?:can't|cannot|can not) be (?:right|correct)\b",
        r"\b(?:that|this|it) (?:isn't|wasn't|doesn't (?:look|seem|sound)) (?:quite )?(?:right|correct)\b",
        deniable=False,
    ),
    cue(
        "self_correction",
        "oops|my mistake|my bad|my error|apolog|sorry|correction|that|silly|i stand corrected|never mind|fix|back",
        r"{start}(?:w?oops|my (?:mistake|bad|error)|apologies|(?:i'm )?sorry(?=[,.:])|correction(?= ?:)|silly me)\b",
        r"{start}(?:(?:scratch|strike|ignore) that|never mind|i stand corrected|fix(?= ?:)|{me} take that back)\b",
    ),
    cue(
        "self_correction",
        "mistake|error|slip|typo|blunder|miscalculation|oversight|went wrong",
        r"\b(?:i|we)(?:'ve| have| must have| had| may have| might have)? ?(?:made|make) "
        r"(?:an?|the|some|my)(?: \w{1,14})? {error}\b",
        r"\b(?:there's|there is|here's|here is|found|i see|spotted) (?:an?|the|my) (?:\w{1,14} )?{error}\b"
        r"(?= in my| above| here| there| now|[.:,])",
        r"\b(?:what|where) (?:i |it |that |this )?went wrong\b",
    ),
    cue(
        "self_correction",
        "forgot|miscount|misread|miscalc|misremember|misappl|mix|confus|overlook|dropped|swapped|double|twice|mistaken"
        "|wrongly|incorrectly|missed|neglected|left out|omitted",
        r"\b(?:i|we)(?:'ve|'d| have| had| must have| also| think i| seem to have| may have| might have)? ?"
        r"(?:accidentally |just |mistakenly |wrongly |incorrectly )?(?:forgot|forgotten|miscounted|misread|miscalculated"
        r"|misremembered|misapplied|mixed up|confused|overlooked|dropped (?:a|the)|swapped (?:a|the)|double[- ]counted"
        r"|(?:missed|neglected|omitted|left out) (?:an?|the|one|that)|was mistaken|mistakenly|wrongly|incorrectly)\b",
        r"\b(?:i|we)(?: must have| have)? (?:counted|used|added|included) {gap} twice\b",
    ),
    cue(
        "self_correction",
        "my |i said|i wrote|i had|i used|i assumed|i prev|i earl|i took|i claim|i thought|previous|earlier|above",
        r"\bmy (?:earlier|previous|first|initial|last) {any} (?:was|is|were) (?:wrong|incorrect|off|flawed|false)\b",
        r"\bi (?:previously|earlier) (?:said|wrote|claimed|thought|used|had|assumed|got)\b",
        r"\bi (?:said|wrote|claimed|thought|assumed|took|concluded)(?: \w{1,12}){0,3} (?:earlier|before|above)\b",
        r"\b(?:and|but|because|since|while) i (?:had )?(?:wrote|written|put|used|assumed|said)\b",
        r"\b(?:the|my) (?:previous|earlier|above) (?:conclusion|claim|result|answer|step|line|value) "
        r"(?:has to be|must be|needs to be|should be|is|was) (?:changed|revised|corrected|wrong|incorrect|fixed)\b",
        r"\babove,? i (?:took|used|wrote|said|had|assumed|put)\b",
    ),
    cue(
        "self_correction",
        "wait|hold on|actually|no|oh",
        r"{start}(?:no,? wait|wait,? no|actually,? no|no,? actually|oh,? (?:wait|no)|ah,? (?:wait|no)|hmm,? no)(?=[\s,.:!-])",
        r"(?<=[\d)}$], )no, (?=[\d$\\(-]|it|that)",
        r"{start}(?:wait|hold on|hmm|actually)\b[^\n]{1,80}\b(?:should (?:be|have been|read|say)|need to fix)\b"
        r"[^\n.]{1,40}\b(?:not|rather than|instead of|that)\b",
        r"{start}(?:wait|hmm|oh)\b{any}\bactually\b",
        r"{start}(?:wait|hold on|hmm|actually)\b[^\n]{1,90}\bcorrecting\b",
    ),
    cue(
        "self_correction",
        "should|fix|correct|redo|revise|amend|rectify",
        r"\b(?:it|that|this|the \w{1,20}) should (?:be|read|say|have been|really be|actually be)\b[^\n.;!?]{1,60}"
        r"(?:, not\b|\brather than\b|\binstead of\b)",
        r"{me} (?:(?:fix|correct|revise|amend|rectify)(?: (?:this|that|it|the|my)\b| ?:)|redo\b)",
        r"{start}(?:fixing (?:this|that|it)|correcting|redoing)\b",
    ),
)

SUBGOALS = (
    cue(
        "subgoals",
        "first|before|next|then|once",
        r"\b(?:let me|let's|i|we)(?:'ll| will)? first (?:need to |have to |want to |must |try to )?{find}\b",
        r"\bfirst,? (?:i|we|let me|let's|let us)(?:'ll| will)?(?: (?:need|want|have|must|should|can|try))?(?: to)? {find}\b",
        r"\b(?:i|we) (?:need|want|have|ought) (?:to )?first (?:to )?{find}\b|\bbefore (?:i|we) can\b",
        r"\b(?:i|we) (?:need|want|have|must)(?: to)? {find} {any}\b(?:first|before)\b",
        r"\b(?:next|then),? (?:i|we) (?:need|want|have) to {find}\b|\bonce (?:i|we) (?:have|know|find|get)\b",
    ),
    cue(
        "subgoals",
        "break|split|divid|decompos|separat|reduces|falls",
        r"\b(?:break(?:ing)?|split(?:ting)?|divid(?:e|ing)|decompos(?:e|ing)|separat(?:e|ing)) "
        r"(?:this|it|that|things|the (?:problem|task|question|figure|sum|proof|calculation|region|count|work)) "
        r"(?:up |down )?(?:into|in) (?:\w{1,12} )?(?:parts|pieces|steps|cases|a\b|sub|two|three|four|smaller)",
        r"\b(?:problem|task|question|proof|calculation|work) (?:\w{1,12} )?"
        r"(?:splits|breaks|decomposes|divides|reduces|falls|boils) (?:down |up )?(?:in)?to\b",
    ),
    cue(
        "subgoals",
        "step|plan|goal|sub-|subp|subt|task|objective|job|aim|todo|outline|roadmap|lemma",
        r"{start}\*{0,2}step \d{1,2}\*{0,2} ?[:.)]",
        r"\b(?:the|my|our|a) (?:overall )?plan(?: is)? ?(?:to\b|:)|{start}(?:plan|todo|to-do|outline|roadmap|steps) ?:",
        r"\bsub-?(?:goal|problem|task)s?\b|{start}lemma \d",
        r"\b(?:our|the|my) (?:immediate )?(?:first|next|remaining|current|second) (?:task|goal|step|job|aim|objective) is\b",
        r"\b(?:so|now),? (?:the|our|my) (?:goal|aim|task|job) is\b",
    ),
    cue(
        "subgoals",
        "suffices|is enough|remain|left with",
        r"\bit (?:therefore |now |then )?(?:suffices|is enough|remains|only remains) to {find}\b",
        r"\b(?:what|all that) remains is to\b|\bremaining is to {find}\b|\bleft with {finding}\b",
    ),
    cue(
        "subgoals",
        "if i|if we|i need|we need|we est|i have|we have|backwards|separately|in turn|need|start|begin|anything else",
        r"{start}if (?:i|we) (?:can|could) (?:only |just )?(?:find|show|prove|get|establish|determine)\b",
        r"\b(?:i|we) (?:need|want|require|establish|prove) (?:two|three|four|the following|\d) (?:\w{1,12} )?"
        r"(?:things|quantities|pieces|values|steps|facts|numbers|ingredients|lemmas|claims)\b",
        r"{start}(?:in order )?to (?:find|get|compute|determine|solve|prove|show|answer|calculate) {gap}, (?:i|we)(?:'ll)? "
        r"(?:first )?(?:need|must|have to|require)\b",
        r"{me} (?:start|begin) (?:by|with) {finding}\b|\bbefore anything else\b",
        r"{me} work backwards?\b|{me} {any}\b(?:separately|in turn|one at a time)\b",
    ),
)

CUES: tuple[Cue, ...] = BACKTRACKING + VERIFICATION + ALTERNATIVES + SELF_CORRECTION + SUBGOALS
"""All cues, in the order of `KINDS`."""
