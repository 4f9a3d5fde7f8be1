"""Units of measure after a value: `5\\text{ cm}^2`, `3 hours`, `90^\\circ`, `20 km/h`. One spelling for each."""

from __future__ import annotations

import re

_DEGREES = r"\^\\circ ?(?:\\text\{)?[CF]?\}?"
_UNIT = re.compile(
    r"(?P<value>.*?[\d}).a-z!])"
    rf"(?P<unit>(?:(?:\\cdot ?|/)?\\text\{{[^{{}}]*\}}(?:\^\{{?-?\d\}}?)?)+(?:/\\text\{{[^{{}}]*\}})?|{_DEGREES})\Z",
    re.DOTALL,
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
_NO_VALUE = re.compile(r"\\text|\\\Z")


def split_unit(text: str) -> tuple[str, str]:
    """(value, unit) of a normalized text; ("", "") if it does not end in a unit.

    >>> split_unit(r"864\\text{ square inches}"), split_unit("60mph"), split_unit(r"\\cos60^\\circ")
    (('864', 'in^2'), ('60', 'mile per hour'), ('', ''))
    """
    unit = _UNIT.match(text) or _BARE_UNIT.match(text) or _COUNTED.match(text)
    if not unit or _NO_VALUE.search(unit.group("value")):
        return "", ""
    if "circ" in unit.group("unit") and re.search(r"\\(?!frac|sqrt|pi|cdot)", unit.group("value")):
        return "", ""  # a function of degrees is no angle
    return unit.group("value"), _name(unit.group("unit"))


def _name(text: str) -> str:
    """One spelling for a unit: `\\text{ inches}^2`, `square inch` and `in^2` are the same."""
    words = re.sub(r"\\text\{([^{}]*)\}", r" \1 ", text.replace("\\cdot", " ")).lower()
    words = words.replace("^\\circ", " degree ")
    square = re.search(r"\bsq(?:uare)?\b|\^\{?2", words)
    cube = re.search(r"\bcubic\b|\bcu\b|\^\{?3", words)
    words = re.sub(r"\b(?:square|sq|cubic|cu)\b\.?|\^\{?-?\d\}?", " ", words.replace("/", " per "))
    words = re.sub(r"\b([ap])\.?m\b\.?", r"\1m", words)
    names = [_UNIT_SYNONYMS.get(_singular(word), _singular(word)) for word in re.findall(r"[^\W\d_]+|\S", words)]
    return " ".join(names) + ("^2" if square else "^3" if cube else "")


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


_UNITS_OF = (
    "cm centimeter centimetre, m meter metre, km kilometer kilometre, mm millimeter millimetre, in inch inche,"
    "ft foot feet, yard yd, mile mi, second s sec secs, minute min mins, hour h hr hrs, year yr yrs, g gram,"
    "kg kilogram, lb lbs pound, l liter litre, ml milliliter, degree deg, % percent"
)
_UNIT_SYNONYMS = {name: names.split()[0] for names in _UNITS_OF.split(",") for name in names.split()[1:]} | {
    "mph": "mile per hour",
    "kph": "km per hour",
    "kmh": "km per hour",
}
