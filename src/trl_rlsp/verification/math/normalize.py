"""One spelling for each LaTeX answer, by text alone: Unicode, spacing, synonyms of commands. Linear time.

`normalise` never changes what an expression says; two answers with the same normal form are the same answer.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

MAX_CHARS = 2000
"""Answers longer than this are compared as strings only."""
MAX_DEPTH = 40
"""Brackets nested deeper than this are compared as strings only."""

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ", "0123456789+-n")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉", "0123456789")
_UNICODE_OF = {
    "-": "−–﹣",
    "\\cdot ": "×·⋅∙",
    "/": "÷∕⁄",
    "^\\circ ": "°º",
    "\\le ": "≤⩽",
    "\\ge ": "≥⩾",
    "'": "′",
    "\\mathbb{R}": "ℝ",
}
_NAMES = dict(
    zip(
        "π∞≠±∓≈∪∩∅∈√∑∫…αβγδεθλμρστφωΔ",
        [
            "pi",
            "infty",
            "ne",
            "pm",
            "mp",
            "approx",
            "cup",
            "cap",
            "emptyset",
            "in",
            "sqrt",
            "sum",
            "int",
            "dots",
            "alpha",
            "beta",
            "gamma",
            "delta",
            "epsilon",
            "theta",
            "lambda",
            "mu",
            "rho",
            "sigma",
            "tau",
            "phi",
            "omega",
            "Delta",
        ],
        strict=True,
    )
)
_UNICODE = {char: latex for latex, chars in _UNICODE_OF.items() for char in chars}
_UNICODE |= {char: f"\\{name} " for char, name in _NAMES.items()}
_VULGAR = re.compile("[¼½¾⅐-⅞]")
_SUPER_RUN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁿ]+")
_SUB_RUN = re.compile("[₀-₉]+")
_COMMANDS_OF = {  # what stands for each group of commands; "" drops them
    "\\frac": "dfrac tfrac cfrac",
    "\\binom": "dbinom tbinom",
    "\\le": "leq leqslant",
    "\\ge": "geq geqslant",
    "\\ne": "neq",
    "<": "lt",
    ">": "gt",
    "\\cdot": "times ast",
    "/": "div",
    "\\{": "lbrace",
    "\\}": "rbrace",
    "[": "lbrack",
    "]": "rbrack",
    "|": "lvert rvert vert mid",
    "\\emptyset": "varnothing",
    "\\infty": "infin",
    "\\dots": "ldots cdots dotsc",
    "^\\circ": "degree",
    "\\approx": "cong simeq",
    "\\text": "textrm mathrm textbf mbox textit textnormal textsf hbox",
    " ": "quad qquad",
    "": "operatorname textdollar left right big Big bigl bigr Bigl Bigr bigg Bigg displaystyle textstyle limits hfill "
    "thinspace nobreak mathbf boldsymbol mathit bf bold",
}
_SYNONYMS = {name: latex for latex, names in _COMMANDS_OF.items() for name in names.split()}
_COMMAND = re.compile(r"\\([A-Za-z]+)\s*")
_SPACE_COMMAND = re.compile(r"\\[,;:! ]|(?<!\\)~|\\\$|\$")
_TEXT = re.compile(r"\\text\s*\{([^{}]*)\}")
_FUNCTION_TEXT = {
    "sin",
    "cos",
    "tan",
    "cot",
    "sec",
    "csc",
    "log",
    "ln",
    "gcd",
    "lcm",
    "arcsin",
    "arccos",
    "arctan",
    "cis",
}
_FRAC_SHORT = re.compile(r"\\frac\s*(?:(\d)\s*(\d)|(\d)\s*(?=\{)|(?P<brace>\{[^{}]*\})\s*([\da-z])(?![\w]*\}))")
_SQRT_SHORT = re.compile(r"\\sqrt\s*(\[[^\]]*\])?\s*(\d+|[a-z]|\\pi|\((?P<inner>[^()]*)\))")
_THOUSANDS = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:(?:\{,\}|\\!,|,\\!|\\[,:;]| )\d{3})+(?!\d)")
_MIXED = re.compile(r"(?<![\w.}])(\d{1,9}) +(\d{1,9})/(\d{1,9})(?![\w.])")
_COLOUR = re.compile(r"\\(?:text)?color\s*\{\w+\}")
_CONSTANT = re.compile(r"\\(?:mathrm|rm|text)\s*\{([eid])\}")
_PERCENT = re.compile(r"(?<=[\d}]) *(?:\\text\s*\{\s*per ?cent\s*\}|per ?cent\b)")
_BRACED_MARK = re.compile(r"(?<![\\A-Za-z_^}])\{([:;])\}")
_SPELLINGS = (
    ("^{\\circ}", "^\\circ"),
    ("\\{\\}", "\\emptyset "),
    ("\\log_e", "\\ln"),
    ("**", "^"),
    ("+-", "-"),
    ("--", "+"),
)
_ARG = re.compile(r"([\^_])\{(\w)\}")
_TRAILING = re.compile(r"[.;,:\s]+$")


@lru_cache(maxsize=8192)
def normalise(text: str) -> str:
    """The normal form of a LaTeX answer.

    >>> normalise(r" $\\dfrac{1}{2}$ "), normalise(r"\\frac12"), normalise("7²")
    ('\\\\frac{1}{2}', '\\\\frac{1}{2}', '7^2')
    """
    if text.isdigit() and text.isascii():  # nothing to do, and the usual case
        return text
    if len(text) > 2 * MAX_CHARS:
        return "".join(text.split())
    text = to_latex(text).strip().replace("\\\\", "\\cr ")
    text = _MIXED.sub(r"\1\\frac{\2}{\3}", text)
    text = _THOUSANDS.sub(lambda m: re.sub(r"[^\d]", "", m.group()), text)
    text = text.replace("\\!", "").replace("\\\\%", "%").replace("\\%", "%").replace("\\#", "#")
    text = _COLOUR.sub("", text)
    text = _CONSTANT.sub(r"\1", text)
    text = _COMMAND.sub(_synonym, text)
    text = _SPACE_COMMAND.sub(" ", text)
    text = _PERCENT.sub("%", _BRACED_MARK.sub(r"\1", text))
    text = _TEXT.sub(_plain_text, text)
    text = _strip_spaces(text)
    if "\\frac" in text:
        text = _FRAC_SHORT.sub(_full_frac, text)
    if "\\sqrt" in text:
        text = _SQRT_SHORT.sub(lambda m: f"\\sqrt{m.group(1) or ''}{{{m.group('inner') or m.group(2)}}}", text)
    text = _ARG.sub(r"\1\2", text)
    for spelling, usual in _SPELLINGS:
        text = text.replace(spelling, usual)
    text = re.sub(r"(?<![\d.])\.(\d)", r"0.\1", text)
    return _unwrap(_TRAILING.sub("", text)).removeprefix("+")


def to_latex(text: str) -> str:
    """Replace Unicode mathematics by LaTeX, drop invisible characters, fold full-width forms."""
    if text.isascii():
        return text
    text = _SUPER_RUN.sub(lambda m: "^{" + m.group().translate(_SUPERSCRIPTS) + "}", text)
    text = _SUB_RUN.sub(lambda m: "_{" + m.group().translate(_SUBSCRIPTS) + "}", text)
    text = _VULGAR.sub(_vulgar_fraction, text)
    text = "".join(_UNICODE.get(c, c) for c in text if unicodedata.category(c) not in ("Cf", "Cc") or c in "\n\t")
    return unicodedata.normalize("NFKC", text)


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


def _vulgar_fraction(match: re.Match[str]) -> str:
    top, _, bottom = unicodedata.normalize("NFKC", match.group()).partition("⁄")
    return f"\\frac{{{top}}}{{{bottom}}}"


def _synonym(match: re.Match[str]) -> str:
    name = match.group(1)
    replacement = _SYNONYMS.get(name)
    return f"\\{name} " if replacement is None else f"{replacement} "


def _plain_text(match: re.Match[str]) -> str:
    """Function names set as text are commands; other text keeps its words, single-spaced."""
    words = " ".join(match.group(1).split())
    return f"\\{words} " if words in _FUNCTION_TEXT else f"\\text{{{words}}}" if words else ""


def _strip_spaces(text: str) -> str:
    """Drop spaces that separate nothing: all but those inside \\text, after a command, and between two words."""
    pieces = re.split(r"(\\text\{[^{}]*\})", text)
    for i in range(0, len(pieces), 2):
        piece = re.sub(r"\s+", " ", pieces[i])
        piece = re.sub(r"(?<![A-Za-z\d]) | (?![A-Za-z\d])|(?<=\d) (?=[A-Za-z])|(?<=[A-Za-z]) (?=\d)", "", piece)
        pieces[i] = piece
    return "".join(pieces)


def _full_frac(match: re.Match[str]) -> str:
    if match.group(1):
        return f"\\frac{{{match.group(1)}}}{{{match.group(2)}}}"
    if match.group("brace"):
        return f"\\frac{match.group('brace')}{{{match.group(5)}}}"
    return f"\\frac{{{match.group(3)}}}"


def _unwrap(text: str) -> str:
    """Remove braces and parentheses around the whole answer that group nothing."""
    while len(text) > 2 and (text[0], text[-1]) in (("{", "}"), ("(", ")")) and _closes_at_end(text):
        inner = text[1:-1]
        if text[0] == "(" and ("," in inner or re.fullmatch(r"(?:\\text\{)?[A-Z]\}?", inner)):
            return text
        text = inner.strip()
    return text


def _closes_at_end(text: str) -> bool:
    depth = 0
    for i, char in enumerate(text):
        depth += (char in "({[") - (char in ")}]")
        if depth == 0:
            return i == len(text) - 1
    return False
