"""The outer structure of a normalised answer: a list, a set, a tuple or interval, a matrix, an equation, a scalar with
its unit. By text alone; what the leaves are worth is not decided here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from trl_rlsp.verification.math.normalize import normalise

Kind = Literal["scalar", "text", "list", "set", "tuple", "union", "matrix", "chain", "equation"]

MAX_ITEMS = 200

_COMMAND_NAME = r"\\(?:alpha|beta|gamma|delta|epsilon|theta|lambda|mu|rho|sigma|tau|phi|omega|angle ?[A-Z]{1,3})"
_NAME = (
    rf"(?:{_COMMAND_NAME}|\\text\{{[^{{}}]*\}}|[A-Za-z]{{1,3}})(?:_\w|_\{{\w+\}})?'?(?:\^\{{-1\}})?(?:\([a-z](?:,[a-z])*\))?"
    r"|\([a-zA-Z](?:_\w)?(?:,[a-zA-Z](?:_\w)?)*\)"
)
_NAMED = re.compile(rf"({_NAME})(?:=|\\in ?|\\approx ?|:=)(?=.)")
_VARIABLE = re.compile(rf"(?:{_NAME})\Z")
_APPROX = re.compile(r"\\approx ?")
_SEPARATOR_TEXT = re.compile(r",?\\text\{,?(?:and|or|&)\}|(?<=[\d})\]]) ?(?:and|or)(?=[-\\\d({])")
_INEQUALITY = re.compile(r"(<|>|\\le(?![a-z]) ?|\\ge(?![a-z]) ?)")
_BASED = re.compile(r"(-?[\dA-Za-z]+)_(?:\{?(\d{1,2})\}?|\{\\text\{(\w+)\}\}|\\text\{(\w+)\})\Z")
_UNIT = re.compile(
    r"(?P<value>.*?[\d}).a-z!])"
    r"(?P<unit>(?:(?:\\cdot ?|/)?\\text\{[^{}]*\}(?:\^\{?-?\d\}?)?)+(?:/\\text\{[^{}]*\})?"
    r"|\^\\circ ?(?:\\text\{)?[CF]?\}?)\Z",
    re.DOTALL,
)
_BARE_UNIT = re.compile(
    r"(?P<value>-?[\d.,]+|-?\d*\\frac\{\d+\}\{\d+\})(?P<unit>(?:sq(?:uare)? )?(?:cm|mm|km|ft|feet|foot|inch(?:es)?|"
    r"met(?:er|re)s?|miles?|yards?|hours?|hrs?|minutes?|mins?|seconds?|secs?|days?|weeks?|months?|years?|kg|grams?|pounds?|"
    r"lbs?|lit(?:er|re)s?|ml|gallons?|dollars?|cents?|degrees?|percent|units?|mph|people|students?|"
    r"ways)(?: per \w+)?(?:\^\{?\d\}?)?)\Z"
)
_NO_VALUE = re.compile(r"\\text|\\\Z")
_MATRIX = re.compile(r"\\begin\{(?:p|b|B)matrix\}(.*)\\end\{(?:p|b|B)matrix\}\Z", re.DOTALL)
_WORDS = re.compile(r"(?=.*[A-Za-z]{3})[A-Za-z][A-Za-z '\-,.]*\Z")
_REALS = {"\\mathbb{R}", "\\mathbb R", "\\Reals", "\\R"}


@dataclass(frozen=True)
class Shape:
    """The structure of an answer.

    Attributes:
        kind: which structure; the items of an `equation` are its two sides, of a `chain` its three or more.
        text: the normalised text, without name and unit.
        items: its parts; rows of a matrix are shapes of kind `tuple`.
        brackets: of a tuple or interval, opening and closing.
        name: what the answer says it is the value of (`x` in `x=5`).
        unit: of a scalar.
        base: of a number written in another base.
    """

    kind: Kind
    text: str
    items: tuple[Shape, ...] = field(default=())
    brackets: str = ""
    name: str = ""
    unit: str = ""
    base: str = ""


@lru_cache(maxsize=8192)
def shape_of(answer: str) -> Shape:
    """The structure of an answer, given as it was written.

    >>> shape_of("(1, 2]").brackets, shape_of("x=3").name, shape_of(r"5\\text{ cm}").unit
    ('(]', 'x', 'cm')
    """
    text = normalise(answer)
    return Shape("scalar", text) if text.isdigit() else _parse(text)


def _parse(text: str) -> Shape:
    text = _APPROX.sub("", text, count=1) if text.startswith("\\approx") else text
    parts = split_top(_SEPARATOR_TEXT.sub(",", text), ",;")
    if len(parts) > 1 and not _thousands(text):
        return _list_of(text, [part for part in parts if part])
    return _single(text)


def _thousands(text: str) -> bool:
    return re.fullmatch(r"-?[1-9]\d{0,2}(?:,\d{3})+(?:\.\d+)?%?(?:\\text\{.*\})?", text) is not None


def _list_of(text: str, parts: list[str]) -> Shape:
    items = tuple(_single(part) for part in parts[: MAX_ITEMS + 1])
    names = {item.name for item in items if item.name}
    if len(names) == 1:  # x=1,2 and x=1,x=2 say the same
        items = tuple(_renamed(item, "") for item in items)
    if all(item.kind in ("tuple", "union") and _is_inequality(part) for item, part in zip(items, parts, strict=False)):
        return Shape("union", text, items)
    return Shape("list", text, items, name=names.pop() if len(names) == 1 else "")


def _is_inequality(text: str) -> bool:
    return _INEQUALITY.search(text) is not None


def _renamed(shape: Shape, name: str) -> Shape:
    return Shape(shape.kind, shape.text, shape.items, shape.brackets, name, shape.unit, shape.base)


def _single(text: str) -> Shape:
    """An answer that is not a bare comma-separated list."""
    interval = _interval(text)
    if interval is not None:
        return interval
    named = _NAMED.match(text)
    if named:
        return _renamed(_value(text[named.end() :]), named.group(1))
    return _value(text)


def _value(text: str) -> Shape:
    """A list, or the sides of an equation; sides that are but names are dropped, as in `x=y=7`."""
    parts = split_top(text, ",;")
    if len(parts) > 1 and not _thousands(text):
        return Shape("list", text, tuple(_bracketed(part) for part in parts[: MAX_ITEMS + 1]))
    sides = _sides(text)
    while len(sides) > 2 and _VARIABLE.match(sides[0]):
        sides = sides[1:]
    if len(sides) > 1:
        kind: Kind = "equation" if len(sides) == 2 else "chain"
        return Shape(kind, text, tuple(_bracketed(side) for side in sides[: MAX_ITEMS + 1]))
    return _bracketed(text)


def _sides(text: str) -> list[str]:
    return split_top(_APPROX.sub("=", text), "=") if "=" in text or "\\approx" in text else [text]


def _interval(text: str) -> Shape | None:
    """`x>2` and `1<x\\le 3` as the interval they say; `None` for anything else."""
    if not _is_inequality(text) or len(text) > 500:
        return None
    parts = [part.strip() for part in _INEQUALITY.split(text)]
    if len(parts) == 3 and _VARIABLE.match(parts[2]) and not _VARIABLE.match(parts[0]):
        flipped = {"<": ">", ">": "<", "\\le": "\\ge", "\\ge": "\\le"}
        parts = [parts[2], flipped[parts[1]], parts[0]]
    if len(parts) == 3 and _VARIABLE.match(parts[0]):
        return _ray(text, *parts)
    if len(parts) == 5 and _VARIABLE.match(parts[2]) and (parts[1] in "<\\le") == (parts[3] in "<\\le"):
        if parts[1] in (">", "\\ge"):
            parts = [parts[4], parts[3].replace(">", "<"), parts[2], parts[1].replace(">", "<"), parts[0]]
        brackets = ("(" if parts[1] in "<>" else "[") + (")" if parts[3] in "<>" else "]")
        return Shape("tuple", text, (_bracketed(parts[0]), _bracketed(parts[4])), brackets, name=parts[2])
    return None


def _ray(text: str, variable: str, relation: str, bound: str) -> Shape:
    infinity, end = Shape("scalar", "\\infty"), _bracketed(bound)
    if relation in ("<", "\\le"):
        lower = Shape("scalar", "-\\infty")
        return Shape("tuple", text, (lower, end), "()" if relation == "<" else "(]", name=variable)
    return Shape("tuple", text, (end, infinity), "()" if relation == ">" else "[)", name=variable)


def _bracketed(text: str) -> Shape:
    if text in _REALS:
        return Shape("tuple", text, (Shape("scalar", "-\\infty"), Shape("scalar", "\\infty")), "()")
    if "\\pm" in text:
        pair = (text.replace("\\pm ", "+").replace("\\pm", "+"), text.replace("\\pm ", "-").replace("\\pm", "-"))
        return Shape("list", text, tuple(_bracketed(normalise(part)) for part in pair))
    pieces = split_top(text.replace("\\cup ", "\\cup"), "\\cup")
    if len(pieces) > 1:
        return Shape("union", text, tuple(_bracketed(piece) for piece in pieces[: MAX_ITEMS + 1]))
    if text.startswith("\\{") and text.endswith("\\}") and "|" not in text and ":" not in text:
        return Shape("set", text, _items(text[2:-2]))
    matrix = _MATRIX.match(text)
    if matrix and "\\begin" not in matrix.group(1):
        rows = [row for row in re.split(r"\\cr ?", matrix.group(1)) if row]
        return Shape("matrix", text, tuple(Shape("tuple", row, _items(row, "&"), "()") for row in rows[:50]))
    bracketed = text[:1] in ("(", "[") and text[-1:] in (")", "]") and _spans(text)
    if bracketed and (text[0] == "[" or len(split_top(text[1:-1], ",;")) > 1):
        items = _items(text[1:-1])
        opening = "(" if items and items[0].text == "-\\infty" else text[0]
        closing = ")" if items and items[-1].text in ("\\infty", "+\\infty") else text[-1]
        return Shape("tuple", text, items, opening + closing)
    return _scalar(text)


def _items(text: str, separators: str = ",;") -> tuple[Shape, ...]:
    parts = split_top(text, separators)
    return tuple(_single(part) for part in parts[: MAX_ITEMS + 1]) if text else ()


def _scalar(text: str) -> Shape:
    based = _BASED.match(text)
    if based and based.group(1)[-1].isdigit():
        base = based.group(2) or _BASE_WORDS.get(based.group(3) or based.group(4), "?")
        return Shape("scalar", based.group(1), base="" if base == "10" else base)
    unit = _UNIT.match(text) or _BARE_UNIT.match(text)
    if unit and not _NO_VALUE.search(unit.group("value")) and not _function_of_degrees(unit):
        return Shape("scalar", unit.group("value"), unit=_unit_name(unit.group("unit")))
    stripped = re.sub(r"\\text\{([^{}]*)\}", r"\1", text)
    if (stripped != text and "\\" not in stripped) or (_WORDS.match(text) and len(text) > 2):
        return Shape("text", stripped.strip())
    return Shape("scalar", text)


def _function_of_degrees(unit: re.Match[str]) -> bool:
    """`\\cos 60^\\circ` is no angle."""
    return "circ" in unit.group("unit") and re.search(r"\\(?!frac|sqrt|pi|cdot)", unit.group("value")) is not None


def _unit_name(text: str) -> str:
    """One spelling for a unit: `\\text{ inches}^2`, `square inch` and `in^2` are the same."""
    words = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text.replace("\\cdot", " ")).lower()
    words = words.replace("^\\circ", " degree ")
    square = re.search(r"\bsq(?:uare)?\b|\^\{?2", words)
    cube = re.search(r"\bcubic\b|\bcu\b|\^\{?3", words)
    words = re.sub(r"\b(?:square|sq|cubic|cu)\b\.?|\^\{?-?\d\}?", " ", words.replace("/", " per "))
    names = [_UNIT_SYNONYMS.get(_singular(word), _singular(word)) for word in re.findall(r"[^\W\d_]+|\S", words)]
    return " ".join(names) + ("^2" if square else "^3" if cube else "")


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


_BASE_WORDS = {
    word: str(base)
    for base, word in enumerate(
        ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"], start=2
    )
} | {"sixteen": "16"}
_UNITS_OF = {
    "cm": "centimeter centimetre",
    "m": "meter metre",
    "km": "kilometer kilometre",
    "mm": "millimeter millimetre",
    "in": "inch inche",
    "ft": "foot feet",
    "yard": "yd",
    "mile": "mi",
    "second": "s sec secs",
    "minute": "min mins",
    "hour": "h hr hrs",
    "year": "yr yrs",
    "g": "gram",
    "kg": "kilogram",
    "lb": "lbs pound",
    "l": "liter litre",
    "ml": "milliliter",
    "mile per hour": "mph",
    "km per hour": "kph kmh",
    "degree": "deg",
    "%": "percent",
}
_UNIT_SYNONYMS = {spelling: unit for unit, spellings in _UNITS_OF.items() for spelling in spellings.split()}


def split_top(text: str, separators: str) -> list[str]:
    """Split at separators outside all brackets. `separators`: single characters, or one command such as `\\cup`."""
    parts, depth, start, i = [], 0, 0, 0
    command = separators if separators.startswith("\\") else ""
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


def _spans(text: str) -> bool:
    """Whether the first bracket closes at the end, of whatever kind (intervals mix them)."""
    depth, i = 0, 0
    while i < len(text):
        if text[i] == "\\":
            i += 2
            continue
        depth += (text[i] in "([{") - (text[i] in ")]}")
        if depth == 0:
            return i == len(text) - 1
        i += 1
    return False
