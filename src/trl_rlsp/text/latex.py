"""LaTeX as text: Unicode mathematics as commands, arguments in braces, brackets, splitting. Linear time."""

from __future__ import annotations

import re
import unicodedata

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
