"""What a search for the final answer of a completion returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple


@dataclass(frozen=True)
class Region:
    """A place where a final answer is stated.

    Attributes:
        start, end: character offsets in the text.
        answer: what is stated there, without box and delimiters.
        final: whether it says of itself that it is final.
    """

    start: int
    end: int
    answer: str
    final: bool = True


class Found(NamedTuple):
    """The final answer of a text; see `trl_rlsp.text.completion.Reading` for the last three.

    Attributes:
        start: offset where the final answer is stated for the first time; `None` if it is not.
    """

    start: int | None
    answer: str | None
    reason: Literal["no_answer", "several_answers", "unfinished"] | None
    rivals: tuple[str, ...] = ()
