"""LaTeX as text: normalizing the spelling of answers, brackets, splitting. Linear time; values are not compared."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache
from itertools import accumulate

MAX_CHARS = 2000  # answers longer than this are compared as strings only
MAX_DEPTH = 40  # answers with brackets nested deeper than this are compared as strings only
_SYNONYMS_OF = r"""
\frac dfrac tfrac cfrac; \binom dbinom tbinom; \le leq leqslant; \ge geq geqslant; \ne neq; < lt; > gt; \cdot times ast;
/ div; \{ lbrace; \} rbrace; [ lbrack; ] rbrack; | lvert rvert vert mid; \emptyset varnothing; \infty infin infinity;
\setminus smallsetminus backslash; \dots ldots cdots dotsc; ^\circ degree; \approx cong simeq;
\text textrm mathrm textbf mbox textit textnormal textsf hbox"""
_DROPPED = (
    "textdollar left right big Big bigl bigr Bigl Bigr bigg Bigg displaystyle textstyle limits hfill thinspace nobreak"
    " mathbf boldsymbol mathit mathsf bf bold rm it mathop nolimits"
)
_SYNONYMS = {name: group.split()[0] for group in _SYNONYMS_OF.split(";") for name in group.split()[1:]}
_SYNONYMS |= dict.fromkeys(_DROPPED.split(), "") | {"quad": " ", "qquad": " "}
_FUNCTIONS = re.findall(
    r"\w+", "arcsin arccos arctan sinh cosh tanh sin cos tan cot sec csc log ln exp gcd lcm max min det deg cis"
)
_MULTIPLIERS = {"hundred": 100, "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12}

_SEPARATED = re.compile(r",\s|,\\ |;|\\text\s*\{[^{}]*\b(?:and|or)\b|(?<=\d) (?:and|or) ")
_PLAIN_THOUSANDS = re.compile(r"(?<![\d.,(\[])[1-9]\d{0,2}(?:,\d{3})+(?!\d|,\d)")
_TWICE_ESCAPED = re.compile(
    r"(?<!\\)\\\\(?=(?:[dt]?frac|sqrt|begin|end|text|left|right|pi|cdot|times|pm|infty|boxed|sin|cos|log|ln)(?![A-Za-z]))"
)
_TEXT_OR_NOT = re.compile(r"(\\text\{[^{}]*\})")
_COMMAND_OF = {char: text for chars, text in (("−–﹣", "-"), ("÷∕⁄", "/"), ("€£¥", " ")) for char in chars}
_COMMAND_OF |= {"°": "^\\circ ", "º": "^\\circ ", "′": "'", "ℝ": "\\mathbb{R}"}  # Unicode characters as LaTeX
_NAMES = (
    "× cdot · cdot ⋅ cdot ∙ cdot ≤ le ⩽ le ≥ ge ⩾ ge π pi ∞ infty ≠ ne ± pm ∓ mp ≈ approx ∪ cup ∩ cap ∅ emptyset ∈ in"
    " √ sqrt ∑ sum ∫ int … dots α alpha β beta γ gamma δ delta ε epsilon θ theta λ lambda μ mu ρ rho σ sigma τ tau"
    " φ phi ω omega Δ Delta ∖ setminus ∠ angle △ triangle"
)
_COMMAND_OF |= {char: f"\\{name} " for char, name in re.findall(r"(\S) (\w+)", _NAMES)}
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_MAX_COMMANDS = 150  # \frac and \sqrt commands that get braces around their arguments
_WITH_ARGUMENTS = re.compile(r"\\(?:(?:frac|binom)(?![A-Za-z])|(?P<root>sqrt)(?![A-Za-z])(?:\s*\[[^\[\]]*\])?)")
_GROUP = r"\{[^{}]*\}"
for _ in range(6):
    _GROUP = rf"\{{(?:[^{{}}]|{_GROUP})*\}}"
_BARE = rf"\\[A-Za-z]+(?:{_GROUP})*|[A-Za-z]"
_ARGUMENT = re.compile(rf"\s*(?:({_GROUP})|({_BARE}|\d))")
_UNDER_ROOT = re.compile(rf"\s*(?:({_GROUP})|({_BARE}|\d+)|\(([^()]*)\))")
_BRACKETS = re.compile(r"\\.|[()\[\]{}]", re.DOTALL)


@lru_cache(maxsize=8192)
def normalize(text: str) -> str:
    """The normal form of a LaTeX answer, with the same meaning; above `2 * MAX_CHARS`, only spaces are removed.

    >>> normalize(r" $\\dfrac{1}{2}$ "), normalize(r"\\frac12"), normalize("7²")
    ('\\\\frac{1}{2}', '\\\\frac{1}{2}', '7^2')
    """
    if text.isdigit() and text.isascii():  # the common case: nothing to do
        return text
    if len(text) > 2 * MAX_CHARS:
        return "".join(text.split())
    text = _rewritten(to_latex(text).strip(), _MIXED_AND_SCIENTIFIC)
    if "," in text and _SEPARATED.search(text):  # a comma before a space is a separator: `81, 256` is two numbers
        text = _PLAIN_THOUSANDS.sub(lambda m: m.group().replace(",", ""), text)
    text = _rewritten(text, _THOUSANDS)
    if "\\" in text:
        text = _rewritten(text.replace("\\\\", "\\") if _TWICE_ESCAPED.search(text) else text, _COMMANDS)
    pieces = _TEXT_OR_NOT.split(_rewritten(text, _SPACES_AND_TEXT))
    pieces[::2] = [_rewritten(piece, _BETWEEN_TEXTS) for piece in pieces[::2]]
    text = "".join(pieces)
    if "\\frac" in text or "\\sqrt" in text or "\\binom" in text:
        text = _arguments_in_braces(text)
    text = _rewritten(text, _SCRIPTS)
    for spelling, usual in _SPELLINGS.items():
        text = text.replace(spelling, usual)
    return _unwrap(_rewritten(text, _ENDS)).removeprefix("+")


def too_complex(text: str) -> bool:
    """Whether an answer is too long or too deeply nested to be parsed."""
    if len(text) > MAX_CHARS:
        return True
    if len(text) <= MAX_DEPTH:
        return False
    deepest = max(accumulate((char in "({[") - (char in ")}]") for char in text))
    return deepest > MAX_DEPTH or re.search(rf"[-+|]{{{MAX_DEPTH + 1}}}", text) is not None


def to_latex(text: str) -> str:
    """Replace Unicode math by LaTeX, remove invisible characters, normalize full-width forms."""
    if text.isascii():
        return text
    text = _rewritten(text, _UNICODE)
    text = "".join(_COMMAND_OF.get(c, c) for c in text if unicodedata.category(c) not in ("Cf", "Cc") or c in "\n\t")
    return unicodedata.normalize("NFKC", text)


def closing(text: str, start: int) -> int:
    """Index where the bracket opened at `start` closes, by a bracket of any kind (intervals mix them); -1 if none."""
    depth = 0
    for token in _BRACKETS.finditer(text, start):
        depth += (token[0] in "([{") - (token[0] in ")]}")
        if depth == 0:
            return token.start()
    return -1


def split_top(text: str, separators: str) -> list[str]:
    """Split at separators outside brackets. `separators` are single characters, or one command such as `\\cup`."""
    cut = re.escape(separators) if separators.startswith("\\") else f"[{separators}]"
    if not re.search(cut, text):
        return [text]
    token = rf"(?P<cut>{cut})|(?P<open>\\begin|\\{{|[({{\[])|(?P<close>\\end|\\}}|[)}}\]])|\\."
    parts, depth, start = [], 0, 0
    for found in re.finditer(token, text, re.DOTALL):
        depth += (found.lastgroup == "open") - (found.lastgroup == "close")
        if found.lastgroup == "cut" and depth == 0:
            parts.append(text[start : found.start()])
            start = found.end()
    return [*parts, text[start:]]


def balanced(text: str) -> bool:
    """Whether braces match."""
    depths = list(accumulate((p == "{") - (p == "}") for p in re.findall(r"\\.|[{}]", text, re.DOTALL)))
    return not depths or (min(depths) >= 0 and depths[-1] == 0)


def _plain_text(match: re.Match[str]) -> str:
    """Function names become commands, a first word such as `million` a factor; other words are single-spaced."""
    words = " ".join(match[1].split())
    if words in _FUNCTIONS:
        return f"\\{words} "
    first, _, rest = words.partition(" ")
    factor = _MULTIPLIERS.get(first.lower().removesuffix("s"))
    if factor is not None and match.string[: match.start()].rstrip()[-1:] in tuple("0123456789}"):
        return f"\\cdot {factor}" + (f"\\text{{{rest}}}" if rest else "")
    return f"\\text{{{words}}}" if words else ""


def _unwrap(text: str) -> str:
    """Remove redundant braces and parentheses around the whole answer."""
    while len(text) > 2 and (text[0], text[-1]) in (("{", "}"), ("(", ")")) and closing(text, 0) == len(text) - 1:
        inner = text[1:-1]
        if text[0] == "(" and ("," in inner or ";" in inner or re.fullmatch(r"(?:\\text\{)?[A-Z]\}?", inner)):
            return text
        text = inner.strip()
    return text


def _arguments_in_braces(text: str) -> str:
    """Put braces around the arguments in `\\frac12`, `\\frac\\pi2`, `\\sqrt3`; from the right, so inner ones first."""
    for command in list(_WITH_ARGUMENTS.finditer(text))[: -_MAX_COMMANDS - 1 : -1]:
        at, root = command.end(), command["root"]
        for pattern in [_UNDER_ROOT] if root else [_ARGUMENT] * 2:
            if argument := pattern.match(text, at):
                group = argument[1] or f"{{{argument[argument.lastindex or 0]}}}"
                text = f"{text[:at]}{group}{text[argument.end() :]}"
                at += len(group)
    return text


_Rules = list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]]


def _rewritten(text: str, rules: _Rules) -> str:
    for pattern, replacement in rules:
        text = pattern.sub(replacement, text)
    return text


def _rules(*pairs: tuple[str, str | Callable[[re.Match[str]], str]]) -> _Rules:
    return [(re.compile(pattern, re.DOTALL), replacement) for pattern, replacement in pairs]


_UNICODE = _rules(
    ("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+", lambda m: "^{" + m.group().translate(_SUPERSCRIPTS) + "}"),
    ("[₀-₉]+", lambda m: "_{" + unicodedata.normalize("NFKC", m.group()) + "}"),
    ("[¼½¾⅐-⅞]", lambda m: re.sub("(.+)⁄(.+)", r"\\frac{\1}{\2}", unicodedata.normalize("NFKC", m.group()))),
)
_MIXED_AND_SCIENTIFIC = _rules(
    (r"(?<![\w.}])(\d{1,9}) +(\d{1,9})/(\d{1,9})(?![\w.])", r"\1\\frac{\2}{\3}"),
    (r"(?<![\w.\\}])(\d{1,30}(?:\.\d{1,30})?)[eE]([-+]?)0{0,3}([1-9]\d{0,2})(?![\w.^{(])", r"\1\\cdot 10^{\2\3}"),
)
_THOUSANDS = _rules(
    (r"(?<![\d.,])[1-9]\d{0,2}(?:(?:\{,\}|\\!,|,\\! ?|\\[,:;]| )\d{3})+(?!\d)", lambda m: re.sub(r"\D", "", m.group())),
)
_COMMANDS = _rules(
    (r"\\\\%", "%"),
    (r"\\\\(?:\s*\[[^\]]{0,9}\])?", r"\\cr "),
    (r"\\(?:boxed|fbox)(?![A-Za-z])\s*", ""),
    (r"\{([^{}]*)\\over(?![a-z])([^{}]*)\}", r"\\frac{\1}{\2}"),
    (r"^([^{}]*)\\over(?![a-z])([^{}]*)$", r"\\frac{\1}{\2}"),
    (r"\\!", ""),
    (r"\\([%#])", r"\1"),
    (r"\\operatorname\*?\s*\{\s*(\w*)\s*\}", lambda m: f"\\{m[1]} " if m[1] in _FUNCTIONS else f"{{{m[1]}}}"),
    (r"\\(?:text)?color\s*\{\w+\}", ""),
    (r"\\(?:mathrm|rm|text)\s*\{([eid])\}", r"\1"),
    (r"\\([A-Za-z]+)\s*", lambda m: _SYNONYMS.get(m[1], f"\\{m[1]}") + " "),
    (
        r"[\[(]\s*\\begin\s*\{(array|matrix)\}(?:\s*\{[lcr|\s]*\})?(.*?)\\end\s*\{\1\}\s*[\])]",
        r"\\begin{pmatrix}\2\\end{pmatrix}",
    ),
)
_SPACES_AND_TEXT = _rules(
    (r"\\[,;:! ]|(?<!\\)~|\\\$|\$|&\s*=|\\\(|\\\)|\\\[|\\\]", " "),
    (r"(?<![\\A-Za-z_^}\] ])\{([:;A-Za-z])\}", r"\1"),
    (r"(?<=[\d}]) *(?:\\text\s*\{\s*(?:per ?cent|pct)\.?\s*\}|(?:per ?cent|pct)\b)", "%"),
    (r"\\text\s*\{([^{}]*)\}", _plain_text),
)
_BETWEEN_TEXTS = _rules(
    (r"(?<![\\A-Za-z{])(and|or)(?![A-Za-z}])", r"\\text{\1}"),
    (rf"(?<=[\d}}])\s*({'|'.join(_MULTIPLIERS)})s?(?![A-Za-z])", lambda m: f"\\cdot {_MULTIPLIERS[m[1]]}"),
    (rf"(?<![A-Za-z\\])(?!max|min|deg)(sqrt|pi|theta|infty|infinity|{'|'.join(_FUNCTIONS)})(?![A-Za-z])", r"\\\1 "),
    (r"(?<=[\w)}])\s*\*\s*(?=[\w\\({])", r"\\cdot "),
    (r"\s+", " "),
    (r"(?<![A-Za-z\d]) (?!(?<=\d, )\d{3}(?!\d))| (?![A-Za-z\d])|(?<=\d) (?=[A-Za-z])|(?<=[A-Za-z]) (?=\d)", ""),
)
_SCRIPTS = _rules((r"([\^_])\{(\w)\}", r"\1\2"))
_SPELLINGS = {
    "{bmatrix}": "{pmatrix}", "{Bmatrix}": "{pmatrix}", "\\cr \\end": "\\end", "^{\\circ}": "^\\circ",
    "^{\\prime}": "'", "^\\prime": "'", "\\{\\}": "\\emptyset ", "\\log_e": "\\ln", "<=": "\\le ", ">=": "\\ge ",
    "!=": "\\ne ", "**": "^", "+-": "-", "--": "+",
}  # fmt: skip
_ENDS = _rules(
    (r"(\^(?:\w|\{[^{}]*\}))(_(?:\w|\{[^{}]*\}))", r"\2\1"),
    (r"(?<![\w.)])\.(\d)", r"0.\1"),
    (r"(?:[;,:\s]|\\cr|(?<![.])\.(?!\.))+$", ""),
)
