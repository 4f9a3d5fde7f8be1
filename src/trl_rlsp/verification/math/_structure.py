"""The outer structure of an answer: a list, a set, a tuple or interval, a ratio or time, a matrix, an equation, a chain
of equal values, a scalar with its unit. Based on text alone; leaf expressions are not evaluated here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Literal

from trl_rlsp.text import closing, normalize, rational, split_top

Kind = Literal["scalar", "text", "list", "set", "tuple", "union", "matrix", "ratio", "chain", "equation"]

MAX_ITEMS = 200

_SCRIPTS = r"(?:_(?:\w|\{[^{}]*\}|\\[A-Za-z]+ ?))?'*(?:\^\{-1\})?"
_SYMBOL = (
    r"(?:\\(?:alpha|beta|gamma|delta|epsilon|theta|lambda|mu|rho|sigma|tau|phi|omega|ell|[GDTLXPSFO][a-z]+) ?[A-Za-z]?"
    r"|m?\\angle ?[A-Z]{1,3}|\\text\{[^{}]*\}|[A-Za-z]{1,3})"
)
_SEGMENT = rf"(?:\|?[A-Z]{{1,4}}{_SCRIPTS}\|?|\\overline\{{[A-Z]+\}})"
_QUANTITY = re.compile(  # a quantity that an answer may name
    rf"{_SYMBOL}{_SCRIPTS}(?:\((?:[a-z]|-?\d+)(?:,(?:[a-z]|-?\d+))*\))?"
    rf"|\([a-zA-Z](?:_\w)?(?:,[a-zA-Z](?:_\w)?)*\)"
    rf"|[fghpqFGHPQETV]{_SCRIPTS}\([^()]*\)|\\text\{{[^{{}}]*\}}[^=\d+*/^-]{{0,40}}"
    rf"|\\frac\{{{_SEGMENT}\}}\{{{_SEGMENT}\}}|{_SEGMENT}(?:[:/]{_SEGMENT})*|[a-z]_?\w?(?::[a-z]_?\w?)+"
    r"|\|\\(?:vec|overrightarrow|overline)\{\w+\}\||\\(?:vec|overrightarrow|overline)\{\w+\}|\\\{\w_\w\\\}"
    r"|[A-Za-z][A-Za-z ]{3,40}"
)
_NAME_END = re.compile(r"=|:=|\\in(?![a-z]) ?|\\approx ?")
_VARIABLE = re.compile(rf"{_SYMBOL}{_SCRIPTS}(?:\([a-z](?:,[a-z])*\))?")
_LETTERS = re.compile(  # letters, except in text and commands, and e and i
    r"\\text\{[^{}]*\}|\\(?!(?:alpha|beta|gamma|theta|lambda|phi)(?![A-Za-z]))[A-Za-z]+"
    r"|(?P<variable>\\[a-z]+|(?<![\\A-Za-z_])(?!(?:e|i)(?![A-Za-z]))[A-Za-z])"
)
_SEPARATOR_TEXT = re.compile(r",?\\text\{,? ?(?:and|or|&),?\}")
_INEQUALITY = re.compile(r"(<|>|\\le(?![a-z]) ?|\\ge(?![a-z]) ?)")
_THOUSANDS = re.compile(r"-?[1-9]\d{0,2}(?:,\d{3})+(?![,\d])[^,;]*")
_BASE = re.compile(r"(?<=\d)_\{?(?:\\text\{)?(\w+)\}{0,2}\Z")
_BASES = {word: f"_{n}" for n, word in enumerate(re.findall(r"\w+", "two three four five six seven eight nine"), 2)}
_BASES |= {"ten": "", "10": "", "eleven": "_11", "twelve": "_12"}
_MATRIX = re.compile(r"(?s)\\begin\{pmatrix\}(.*)\\end\{pmatrix\}\Z")
_CASES = re.compile(r"(?s)\\begin\{cases\}([^&]*)\\end\{cases\}\Z")
_RATIO = re.compile(r"(?:[^:=<>,]|\\[<>])+(?::[^:=<>,]+)+")
_WORDS = re.compile(r"(?=.*[A-Za-z]{3})[A-Za-z][A-Za-z '\-,.]*\Z")
_REALS = {"\\mathbb{R}", "\\mathbb R", "\\Reals", "\\R"}
_MINUS_INFINITY, _INFINITY = "-\\infty", "\\infty"
_FLIPPED = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le"}
_DEGREES = r"\^\\circ ?(?:\\text\{)?[CF]?\}?"
_UNIT = re.compile(
    r"(?s)(?P<value>.*?[\d}).a-z!])"
    rf"(?P<unit>(?:(?:\\cdot ?|/)?\\text\{{[^{{}}]*\}}(?:\^\{{?-?\d\}}?)?)+(?:/\\text\{{[^{{}}]*\}})?|{_DEGREES})\Z"
)
_LENGTHS = "cm|mm|km|ft|feet|foot|in|inch(?:es)?|m|met(?:er|re)s?|miles?|mi|yards?"
_BARE_UNIT = re.compile(
    r"(?P<value>-?[\d.,]*\d|.*[\d})]|.*\\pi) ?(?P<unit>(?:sq(?:uare)?\.? |cubic )?"
    r"(?:cm|mm|km|ft|feet|foot|inch(?:es)?|met(?:er|re)s?|miles?|yards?|hours?|hrs?|minutes?|mins?|seconds?|secs?|days?|weeks?"
    r"|months?|years?|kg|grams?|pounds?|lbs?|lit(?:er|re)s?|ml|gallons?|dollars?|cents?|degrees?|units?|mph|people"
    r"|students?|ways|[ap]\.?m\.?|"
    rf"(?:{_LENGTHS})(?:/| per )(?:h|hr|hour|s|sec|second|min|minute|day)(?![a-z]))(?: per \w+)?(?:\^\{{?\d\}}?)?)\Z"
)
_COUNTED = re.compile(r"(?P<value>-?[\d.,]*\d) ?(?P<unit>[a-z]{4,30}(?: [a-z]{1,30}){0,3})\Z")
_UNITS = (
    "cm: centimeter centimetre; m: meter metre; km: kilometer kilometre; mm: millimeter millimetre; in: inch inche;"
    "ft: foot feet; yard: yd; mile: mi; second: s sec secs; minute: min mins; hour: h hr hrs; year: yr yrs; g: gram;"
    "kg: kilogram; lb: lbs pound; l: liter litre; ml: milliliter; degree: deg; %: percent; mile per hour: mph;"
    "km per hour: kph kmh"
)
_UNIT_SYNONYMS = {name: unit for unit, names in re.findall("([^:; ][^:;]*): ([^;]+)", _UNITS) for name in names.split()}


@dataclass(frozen=True)
class Shape:
    """The structure of an answer; the items of a `chain` are the sides of an equality between constants."""

    kind: Kind
    text: str  # normalized, without name and unit
    items: tuple[Shape, ...] = ()  # parts, sides of an equation, terms of a ratio; rows of a matrix are tuples
    brackets: str = ""  # of a tuple or interval, opening and closing
    name: str = ""  # the quantity that the answer is the value of (`x` in `x=5`)
    unit: str = ""  # of a scalar or a ratio
    approximate: bool = False  # a side of a chain that approximates the side before it


_LINE = Shape("tuple", "\\mathbb{R}", (Shape("scalar", _MINUS_INFINITY), Shape("scalar", _INFINITY)), "()")


@lru_cache(maxsize=8192)
def shape_of(answer: str) -> Shape:
    """The structure of an answer as it was written."""
    text = normalize(answer)
    if text.isdigit():
        return Shape("scalar", text)
    worded = re.fullmatch(r"\\text\{(-?\.?\d[^{}]*)\}", text)
    return _parse(normalize(worded[1]) if worded else text)


def has_variable(text: str) -> bool:
    """Whether an expression contains letters other than e and i: `2x` does, `\\log_6(216)` does not."""
    return any(found["variable"] for found in _LETTERS.finditer(text))


def _parse(text: str) -> Shape:
    text = text.removeprefix("=").removeprefix("\\approx").lstrip()
    if cases := _CASES.match(text):
        text = ";".join(row.strip(" ,;") for row in re.split(r"\\cr ?", cases[1]))
    text = _SEPARATOR_TEXT.sub(",", text)
    if _THOUSANDS.fullmatch(text):
        return _single(text)
    groups = [split_top(group, ",") for group in split_top(text, ";")]
    if len(groups) > 1 and all(len(group) > 1 for group in groups):  # p=5,q=2;p=7,q=2
        return Shape("list", text, tuple(Shape("tuple", ",".join(g), _singles(g), "()") for g in groups[:MAX_ITEMS]))
    parts = [part for group in groups for part in group if part]
    if len(parts) < 2:
        return _single(parts[0] if parts else text)
    items = _singles(parts)
    names = {item.name for item in items if item.name}
    if len(names) == 1:  # x=1,2 and x=1,x=2 mean the same
        items = tuple(replace(item, name="") for item in items)
    if all(_interval(part) for part in parts[:MAX_ITEMS]):
        return Shape("union", text, items)
    return Shape("list", text, items, name=names.pop() if len(names) == 1 else "")


def _singles(parts: Sequence[str]) -> tuple[Shape, ...]:
    """The items of a list; an item such as `\\pm 3` becomes two items."""
    items: list[Shape] = []
    for part in parts[: MAX_ITEMS + 1]:
        item = _single(part.strip())
        items.extend(item.items if item.kind == "list" and "\\pm" in part else [item])
    return tuple(items)


def _single(text: str) -> Shape:
    """The structure of an answer that is not a bare comma-separated list."""
    if interval := _interval(text):
        return interval
    name, value = _split_name(text)
    shape = _value(value)
    if name and (shape.kind in ("chain", "equation") or not shape.name):
        return replace(shape, name=name)
    return _value(text) if name else shape


def _split_name(text: str) -> tuple[str, str]:
    """(`f(3)`, `7`) for `f(3)=7`; ("", text) if no quantity is named."""
    for match in _NAME_END.finditer(text[:200]):
        name = text[: match.start()].rstrip()
        if name.count("(") == name.count(")") and name.count("{") == name.count("}"):
            return (name, text[match.end() :]) if _QUANTITY.fullmatch(name) and match.end() < len(text) else ("", text)
    return "", text


def _value(text: str) -> Shape:
    """A list, a chain of equal constants, an equation, or a single value; sides that are only names are dropped."""
    pieces = split_top(text.replace("\\approx ", "\\approx"), "\\approx")
    sides = [(side, i > 0 and j == 0) for i, piece in enumerate(pieces) for j, side in enumerate(split_top(piece, "="))]
    while len(sides) > 2 and _VARIABLE.fullmatch(sides[0][0]):
        sides = [(sides[1][0], False), *sides[2:]]
    if len(sides) < 2:
        return _bracketed(sides[0][0])
    items = tuple(replace(_bracketed(side.strip()), approximate=about) for side, about in sides[: MAX_ITEMS + 1])
    constant = len(items) > 2 or not any(has_variable(item.text) for item in items)
    return Shape("chain" if constant else "equation", text, items)


def _interval(text: str) -> Shape | None:
    """`x>2`, `1<x\\le 3`, `x\\ne 4` as an interval or union; `None` for anything else."""
    if len(text) > 500:
        return None
    unequal = re.fullmatch(rf"({_VARIABLE.pattern})\\ne ?(.+)", text)
    if unequal and not re.search(r"[,;=<>]|\\text", unequal[2]):
        return _without(replace(_LINE, name=unequal[1]), [unequal[2]])
    parts = [part.strip() for part in _INEQUALITY.split(text)]
    if (len(parts) == 3 and not _VARIABLE.fullmatch(parts[0])) or (len(parts) == 5 and parts[1] in (">", "\\ge")):
        parts = [_FLIPPED.get(part, part) for part in reversed(parts)]
    if len(parts) == 3:
        variable, relation, bound = parts
        below = relation in ("<", "\\le")
        parts = [_MINUS_INFINITY, "<", *parts] if below else [bound, _FLIPPED[relation], variable, "<", _INFINITY]
    if len(parts) == 5 and _VARIABLE.fullmatch(parts[2]) and {parts[1], parts[3]} <= {"<", "\\le"}:
        brackets = ("(" if parts[1] == "<" else "[") + (")" if parts[3] == "<" else "]")
        return Shape("tuple", text, (_bracketed(parts[0]), _bracketed(parts[4])), brackets, name=parts[2])
    return None


def _without(whole: Shape, points: Sequence[str]) -> Shape | None:
    """An interval without some points inside it, as a union; `None` if their order cannot be determined from text."""
    values = {point: rational(point) for point in points}
    ordered = sorted(points, key=lambda point: values[point] or Fraction(0))
    if whole.kind != "tuple" or len(whole.items) != 2 or (len(points) > 1 and None in values.values()):
        return None
    ends = [whole.items[0], *(_bracketed(point) for point in ordered), whole.items[1]]
    bounds = [whole.brackets[0], *"(" * len(points)], [*")" * len(points), whole.brackets[1]]
    known = [n for end in ends if (n := rational(end.text)) is not None]
    if known != sorted(known):
        return None
    pieces = (
        Shape("tuple", f"{low}{a.text},{b.text}{high}", (a, b), low + high)
        for a, b, low, high in zip(ends, ends[1:], *bounds, strict=False)
    )
    return Shape("union", whole.text, tuple(pieces), name=whole.name)


def _bracketed(text: str) -> Shape:
    if text in _REALS:
        return _LINE
    if "\\pm" in text and not text.startswith("\\{") and not re.search(r"-\\pm|\\pm ?-|\\mp", text):
        pair = (re.sub(r"\\pm ?", sign, text) for sign in "+-")
        return Shape("list", text, tuple(_bracketed(normalize(part)) for part in pair))
    return _set(text) or _matrix(text) or _tuple(text) or _scalar(text)


def _set(text: str) -> Shape | None:
    """Sets, their unions and differences, and sets defined by an interval condition; `None` for anything else."""
    pieces = split_top(text.replace("\\cup ", "\\cup"), "\\cup")
    if len(pieces) > 1:
        items = tuple(_bracketed(piece) for piece in pieces[: MAX_ITEMS + 1])
        if all(item.kind == "set" for item in items):
            return Shape("set", text, tuple(part for item in items for part in item.items))
        return Shape("union", text, items)
    pieces = split_top(text.replace("\\setminus ", "\\setminus"), "\\setminus")
    if len(pieces) == 2 and pieces[1].startswith("\\{") and pieces[1].endswith("\\}"):
        return _without(_bracketed(pieces[0]), split_top(pieces[1][2:-2], ",;"))
    if not text.startswith("\\{") or not text.endswith("\\}"):
        return None
    if "|" not in text and ":" not in text:
        return Shape("set", text, _items(text[2:-2]))
    condition = re.fullmatch(r"([A-Za-z])(?:\\in ?\\mathbb\{R\})?[|:](.*)", text[2:-2])
    interval = _interval(condition[2]) if condition else None
    return interval if condition and interval and interval.name == condition[1] else None


def _matrix(text: str) -> Shape | None:
    matrix = _MATRIX.match(text)
    if not matrix or "\\begin" in matrix[1]:
        return None
    rows = [row for row in re.split(r"\\cr ?", matrix[1]) if row]
    return Shape("matrix", text, tuple(Shape("tuple", row, _items(row, "&"), "()") for row in rows[:50]))


def _tuple(text: str) -> Shape | None:
    bracketed = text[:1] in ("(", "[") and text[-1:] in (")", "]") and closing(text, 0) == len(text) - 1
    if not bracketed or (text[0] == "(" and len(split_top(text[1:-1], ",;")) == 1):
        return None
    items = _items(text[1:-1])
    opening = "(" if items and items[0].text == _MINUS_INFINITY else text[0]
    end = ")" if items and items[-1].text == _INFINITY else text[-1]
    return Shape("tuple", text, items, opening + end)


def _items(text: str, separators: str = ",;") -> tuple[Shape, ...]:
    return _singles(split_top(text, separators)) if text else ()


def _scalar(text: str) -> Shape:
    text = _BASE.sub(lambda m: _BASES.get(m[1], f"_{m[1]}"), text)
    value, unit = _split_unit(text)
    if unit:
        return replace(_ratio(value), unit=unit)
    stripped = re.sub(r"\\text\{([^{}]*)\}", r"\1", text)
    if (stripped != text and "\\" not in stripped) or (_WORDS.match(text) and len(text) > 2):
        return Shape("text", stripped.strip())
    return _ratio(text)


def _ratio(text: str) -> Shape:
    """Values separated by colons, a ratio or a time of day; otherwise a scalar."""
    text = text.removeprefix("+")
    parts = split_top(text, ":") if _RATIO.fullmatch(text) else []
    if len(parts) < 2:
        return Shape("scalar", text)
    return Shape("ratio", text, tuple(Shape("scalar", part) for part in parts[:MAX_ITEMS]))


def _split_unit(text: str) -> tuple[str, str]:
    """(value, unit) of a normalized text, with one spelling per unit; ("", "") if it does not end in a unit."""
    unit = _UNIT.match(text) or _BARE_UNIT.match(text) or _COUNTED.match(text)
    if not unit or re.search(r"\\text|\\\Z", unit["value"]):
        return "", ""
    if "circ" in unit["unit"] and re.search(r"\\(?!frac|sqrt|pi|cdot)", unit["value"]):
        return "", ""  # a function of degrees is not an angle
    words = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", unit["unit"].replace("\\cdot", " ")).lower()
    words = words.replace("^\\circ", " degree ")
    square = re.search(r"\bsq(?:uare)?\b|\^\{?2", words)
    cube = re.search(r"\bcubic\b|\bcu\b|\^\{?3", words)
    words = re.sub(r"\b(?:square|sq|cubic|cu)\b\.?|\^\{?-?\d\}?", " ", words.replace("/", " per "))
    words = re.sub(r"\b([ap])\.?m\b\.?", r"\1m", words)
    singular = (re.sub(r"(?<=\w{2}[^\Ws])s$", "", word) for word in re.findall(r"[^\W\d_]+|\S", words))
    name = " ".join(_UNIT_SYNONYMS.get(word, word) for word in singular)
    return unit["value"], name + ("^2" if square else "^3" if cube else "")
