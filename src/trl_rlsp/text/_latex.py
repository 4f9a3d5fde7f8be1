"""LaTeX as text: one spelling for each answer, brackets, splitting. Linear time; it knows nothing of values.

`normalize` never changes what an expression says; two answers with the same normal form are the same answer. Texts of
more than `2 * MAX_CHARS` characters only lose their spaces.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

MAX_CHARS = 2000
"""Answers longer than this are compared as strings only."""
MAX_DEPTH = 40
"""Brackets nested deeper than this are compared as strings only."""

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

_COMMAND = re.compile(r"\\([A-Za-z]+)\s*")
_SPACE_COMMAND = re.compile(r"\\[,;:! ]|(?<!\\)~|\\\$|\$|&\s*=|\\\(|\\\)|\\\[|\\\]")
_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}")
_TEXT_OR_NOT = re.compile(r"(\\text\{[^{}]*\})")
_OPERATOR_NAME = re.compile(r"\\operatorname\*?\s*\{\s*(\w*)\s*\}")
_TWICE_ESCAPED = re.compile(
    r"(?<!\\)\\\\(?=(?:[dt]?frac|sqrt|begin|end|text|left|right|pi|cdot|times|pm|infty|boxed|sin|cos|log|ln)(?![A-Za-z]))"
)
_ROW_END = re.compile(r"\\\\(?:\s*\[[^\]]{0,9}\])?")
_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
_CONNECTIVE = re.compile(r"(?<![\\A-Za-z{])(and|or)(?![A-Za-z}])")
_SEPARATED = re.compile(r",\s|,\\ |;|\\text\s*\{[^{}]*\b(?:and|or)\b|(?<=\d) (?:and|or) ")
_PLAIN_THOUSANDS = re.compile(r"(?<![\d.,(\[])[1-9]\d{0,2}(?:,\d{3})+(?!\d|,\d)")
_THOUSANDS = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:(?:\{,\}|\\!,|,\\! ?|\\[,:;]| )\d{3})+(?!\d)")
_MIXED = re.compile(r"(?<![\w.}])(\d{1,9}) +(\d{1,9})/(\d{1,9})(?![\w.])")
_SCIENTIFIC = re.compile(r"(?<![\w.\\}])(\d{1,30}(?:\.\d{1,30})?)[eE]([-+]?)0{0,3}([1-9]\d{0,2})(?![\w.^{(])")
_OVER = re.compile(r"\{([^{}]*)\\over(?![a-z])([^{}]*)\}|^([^{}]*)\\over(?![a-z])([^{}]*)$")
_COLOR = re.compile(r"\\(?:text)?color\s*\{\w+\}")
_CONSTANT = re.compile(r"\\(?:mathrm|rm|text)\s*\{([eid])\}")
_PERCENT = re.compile(r"(?<=[\d}]) *(?:\\text\s*\{\s*(?:per ?cent|pct)\.?\s*\}|(?:per ?cent|pct)\b)")
_MULTIPLIED = re.compile(rf"(?<=[\d}}])\s*({'|'.join(_MULTIPLIERS)})s?(?![A-Za-z])")
_BRACED_MARK = re.compile(r"(?<![\\A-Za-z_^}\] ])\{([:;A-Za-z])\}")
_ASCII_WORDS = re.compile(
    rf"(?<![A-Za-z\\])(?!max|min|deg)(sqrt|pi|theta|infty|infinity|{'|'.join(_FUNCTIONS)})(?![A-Za-z])"
)
_PRODUCT_STAR = re.compile(r"(?<=[\w)}])\s*\*\s*(?=[\w\\({])")
_ARRAY = re.compile(r"[\[(]\s*\\begin\s*\{(array|matrix)\}(?:\s*\{[lcr|\s]*\})?(.*?)\\end\s*\{\1\}\s*[\])]", re.DOTALL)
_SPELLINGS = {
    "{bmatrix}": "{pmatrix}", "{Bmatrix}": "{pmatrix}", "\\cr \\end": "\\end", "^{\\circ}": "^\\circ",
    "^{\\prime}": "'", "^\\prime": "'", "\\{\\}": "\\emptyset ", "\\log_e": "\\ln", "<=": "\\le ", ">=": "\\ge ",
    "!=": "\\ne ", "**": "^", "+-": "-", "--": "+",
}  # fmt: skip
_SPACES = re.compile(
    r"(?<![A-Za-z\d]) (?!(?<=\d, )\d{3}(?!\d))| (?![A-Za-z\d])|(?<=\d) (?=[A-Za-z])|(?<=[A-Za-z]) (?=\d)"
)
_ARG = re.compile(r"([\^_])\{(\w)\}")
_POWER_FIRST = re.compile(r"(\^(?:\w|\{[^{}]*\}))(_(?:\w|\{[^{}]*\}))")
_LEADING_POINT = re.compile(r"(?<![\w.)])\.(\d)")
_TRAILING = re.compile(r"(?:[;,:\s]|\\cr|(?<![.])\.(?!\.))+$")
_COMMAND_OF = {  # what Unicode characters stand for
    **dict.fromkeys("−–﹣", "-"),
    **dict.fromkeys("×·⋅∙", "\\cdot "),
    **dict.fromkeys("÷∕⁄", "/"),
    **dict.fromkeys("°º", "^\\circ "),
    **dict.fromkeys("≤⩽", "\\le "),
    **dict.fromkeys("≥⩾", "\\ge "),
    **dict.fromkeys("€£¥", " "),
    **{"′": "'", "ℝ": "\\mathbb{R}"},
}
_NAMES = (
    "π pi ∞ infty ≠ ne ± pm ∓ mp ≈ approx ∪ cup ∩ cap ∅ emptyset ∈ in √ sqrt ∑ sum ∫ int … dots α alpha β beta γ gamma"
    " δ delta ε epsilon θ theta λ lambda μ mu ρ rho σ sigma τ tau φ phi ω omega Δ Delta ∖ setminus ∠ angle △ triangle"
)
_COMMAND_OF |= {char: f"\\{name} " for char, name in re.findall(r"(\S) (\w+)", _NAMES)}
_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_MAX_COMMANDS = 150  # so many \frac and \sqrt get braces around their arguments
_WITH_ARGUMENTS = re.compile(r"\\(frac|binom|sqrt)(?![A-Za-z])")
_ARGUMENT = re.compile(
    r"\s*(?:(?P<open>\{)|(?P<command>\\[A-Za-z]+)|(?P<digits>\d+)|(?P<letter>[A-Za-z])|(?P<paren>\([^()]*\)))"
)
_VULGAR = re.compile("[¼½¾⅐-⅞]")
_SUPER_RUN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
_SUB_RUN = re.compile("[₀-₉]+")


@lru_cache(maxsize=8192)
def normalize(text: str) -> str:
    """The normal form of a LaTeX answer.

    >>> normalize(r" $\\dfrac{1}{2}$ "), normalize(r"\\frac12"), normalize("7²")
    ('\\\\frac{1}{2}', '\\\\frac{1}{2}', '7^2')
    """
    if text.isdigit() and text.isascii():  # nothing to do, and the usual case
        return text
    if len(text) > 2 * MAX_CHARS:
        return "".join(text.split())
    text = _numbers(to_latex(text).strip())
    if "\\" in text:
        text = _commands(text)
    text = _PERCENT.sub("%", _BRACED_MARK.sub(r"\1", _SPACE_COMMAND.sub(" ", text)))
    text = _strip_spaces(_TEXT.sub(_plain_text, text))
    if "\\frac" in text or "\\sqrt" in text or "\\binom" in text:
        text = arguments_in_braces(text)
    text = _ARG.sub(r"\1\2", text)
    for spelling, usual in _SPELLINGS.items():
        text = text.replace(spelling, usual)
    text = _POWER_FIRST.sub(r"\2\1", text)
    return _unwrap(_TRAILING.sub("", _LEADING_POINT.sub(r"0.\1", text))).removeprefix("+")


def too_complex(text: str) -> bool:
    """Whether an answer is too long or too deeply nested to be looked into.

    >>> too_complex("(" * 50 + ")" * 50)
    True
    """
    if len(text) > MAX_CHARS:
        return True
    if len(text) <= MAX_DEPTH:
        return False
    depth = deepest = signs = longest = 0
    for char in text:
        depth += (char in "({[") - (char in ")}]")
        deepest = max(deepest, depth)
        signs = signs + 1 if char in "-+|" else 0
        longest = max(longest, signs)
    return deepest > MAX_DEPTH or longest > MAX_DEPTH


def _numbers(text: str) -> str:
    """Mixed numbers, scientific notation, thousands. A comma before a space separates: `81, 256` are two numbers."""
    text = _MIXED.sub(r"\1\\frac{\2}{\3}", text)
    text = _SCIENTIFIC.sub(r"\1\\cdot 10^{\2\3}", text)
    if "," in text and _SEPARATED.search(text):
        text = _PLAIN_THOUSANDS.sub(lambda m: m.group().replace(",", ""), text)
    return _THOUSANDS.sub(lambda m: re.sub(r"\D", "", m.group()), text)


def _commands(text: str) -> str:
    if _TWICE_ESCAPED.search(text):
        text = text.replace("\\\\", "\\")
    text = _BOX.sub("", _ROW_END.sub(r"\\cr ", text.replace("\\\\%", "%")))
    if "\\over" in text:
        text = _OVER.sub(lambda m: f"\\frac{{{m[1] or m[3]}}}{{{m[2] or m[4]}}}", text)
    text = text.replace("\\!", "").replace("\\%", "%").replace("\\#", "#")
    text = _CONSTANT.sub(r"\1", _COLOR.sub("", _OPERATOR_NAME.sub(_operator_name, text)))
    return _ARRAY.sub(r"\\begin{pmatrix}\2\\end{pmatrix}", _COMMAND.sub(_synonym, text))


def _synonym(match: re.Match[str]) -> str:
    name = match.group(1)
    replacement = _SYNONYMS.get(name)
    return f"\\{name} " if replacement is None else f"{replacement} "


def _operator_name(match: re.Match[str]) -> str:
    return f"\\{match.group(1)} " if match.group(1) in _FUNCTIONS else f"{{{match.group(1)}}}"


def _plain_text(match: re.Match[str]) -> str:
    """Function names set as text are commands; a first word that multiplies does; other words are single-spaced."""
    words = " ".join(match.group(1).split())
    if words in _FUNCTIONS:
        return f"\\{words} "
    first, _, rest = words.partition(" ")
    factor = _MULTIPLIERS.get(first.lower().removesuffix("s"))
    if factor is not None and match.string[: match.start()].rstrip()[-1:] in tuple("0123456789}"):
        return f"\\cdot {factor}" + (f"\\text{{{rest}}}" if rest else "")
    return f"\\text{{{words}}}" if words else ""


def _strip_spaces(text: str) -> str:
    """Drop spaces that separate nothing: all but those inside \\text, after a command, and between two words."""
    pieces = _TEXT_OR_NOT.split(text)
    for i in range(0, len(pieces), 2):
        piece = _CONNECTIVE.sub(r"\\text{\1}", pieces[i])
        piece = _MULTIPLIED.sub(lambda m: f"\\cdot {_MULTIPLIERS[m.group(1)]}", piece)
        piece = _PRODUCT_STAR.sub(r"\\cdot ", _ASCII_WORDS.sub(r"\\\1 ", piece))
        pieces[i] = _SPACES.sub("", re.sub(r"\s+", " ", piece))
    return "".join(pieces)


def _unwrap(text: str) -> str:
    """Remove braces and parentheses around the whole answer that group nothing."""
    while len(text) > 2 and (text[0], text[-1]) in (("{", "}"), ("(", ")")) and closing(text, 0) == len(text) - 1:
        inner = text[1:-1]
        if text[0] == "(" and ("," in inner or ";" in inner or re.fullmatch(r"(?:\\text\{)?[A-Z]\}?", inner)):
            return text
        text = inner.strip()
    return text


def to_latex(text: str) -> str:
    """Replace Unicode mathematics by LaTeX, drop invisible characters, fold full-width forms."""
    if text.isascii():
        return text
    text = _SUPER_RUN.sub(lambda m: "^{" + m.group().translate(_SUPERSCRIPTS) + "}", text)
    text = _SUB_RUN.sub(lambda m: "_{" + unicodedata.normalize("NFKC", m.group()) + "}", text)
    text = _VULGAR.sub(_vulgar_fraction, text)
    text = "".join(_COMMAND_OF.get(c, c) for c in text if unicodedata.category(c) not in ("Cf", "Cc") or c in "\n\t")
    return unicodedata.normalize("NFKC", text)


def closing(text: str, start: int) -> int:
    """Where the bracket that opens at `start` closes, whatever its kind (intervals mix them); -1 if nowhere."""
    depth, i = 0, start
    while i < len(text):
        if text[i] == "\\":
            i += 2
            continue
        depth += (text[i] in "([{") - (text[i] in ")]}")
        if depth == 0:
            return i
        i += 1
    return -1


def split_top(text: str, separators: str) -> list[str]:
    """Split at separators outside all brackets. `separators`: single characters, or one command such as `\\cup`."""
    command = separators if separators.startswith("\\") else ""
    if (command and command not in text) or (not command and not any(char in text for char in separators)):
        return [text]
    parts, depth, start, i = [], 0, 0, 0
    while i < len(text):
        char = text[i]
        if command and depth == 0 and text.startswith(command, i):
            parts.append(text[start:i])
            i = start = i + len(command)
            continue
        if char == "\\":
            if text.startswith("\\begin", i) or text.startswith("\\{", i):
                depth += 1
            elif text.startswith("\\end", i) or text.startswith("\\}", i):
                depth -= 1
            i += 2
            continue
        if char in "({[":
            depth += 1
        elif char in ")}]":
            depth -= 1
        elif not command and char in separators and depth == 0:
            parts.append(text[start:i])
            start = i + 1
        i += 1
    return [*parts, text[start:]]


def arguments_in_braces(text: str) -> str:
    """`\\frac12`, `\\frac\\pi2`, `\\sqrt3` with braces around their arguments; from the right, inner ones first."""
    for match in list(_WITH_ARGUMENTS.finditer(text))[: -_MAX_COMMANDS - 1 : -1]:
        at = match.end()
        if match.group(1) == "sqrt":
            optional = re.compile(r"\s*\[[^\[\]]*\]").match(text, at)
            at = optional.end() if optional else at
        for _ in range(1 if match.group(1) == "sqrt" else 2):
            end, inner = _argument(text, at, whole_number=match.group(1) == "sqrt")
            if end < 0:
                break
            text = f"{text[:at]}{{{inner}}}{text[end:]}"
            at += len(inner) + 2
    return text


def _argument(text: str, at: int, *, whole_number: bool) -> tuple[int, str]:
    """(end, content) of the argument of a command at `at`; end is -1 if there is none."""
    match = _ARGUMENT.match(text, at)
    if match is None:
        return -1, ""
    if match.group("open"):
        end = closing(text, match.end() - 1)
        return (end + 1 if end >= 0 else -1), text[match.end() : end]
    if match.group("paren"):
        return (match.end(), match.group("paren")[1:-1]) if whole_number else (-1, "")
    if match.group("digits"):
        end = match.end() if whole_number else match.start("digits") + 1
        return end, text[match.start("digits") : end]
    end = match.end()
    while match.group("command") and text[end : end + 1] == "{":
        end = closing(text, end) + 1 or len(text)
    return end, text[match.start() : end].strip()


def _vulgar_fraction(match: re.Match[str]) -> str:
    top, _, bottom = unicodedata.normalize("NFKC", match.group()).partition("⁄")
    return f"\\frac{{{top}}}{{{bottom}}}"


def balanced(text: str) -> bool:
    """Whether braces match."""
    depth = 0
    for piece in re.findall(r"\\.|[{}]", text, re.DOTALL):
        depth += (piece == "{") - (piece == "}")
        if depth < 0:
            return False
    return depth == 0
