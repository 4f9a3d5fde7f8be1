"""The data of the page's browser of completions, as JSON values.

A page must open at any size of run: at most `limit` completions are kept, and long ones lose their middle so that
all texts together stay under `characters`. What was left out is counted, and the page says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trl_rlsp.behaviours import KINDS, find_behaviours
from trl_rlsp.runs import Completion, Run

LIMIT = 10_000
CHARACTERS = 60_000_000
SHORTEST_LIMIT = 500


@dataclass(frozen=True)
class Source:
    """A set of completions that can be chosen on one side of the page.

    Attributes:
        run: name of the run.
        name: name of the evaluation, or `training`.
        problem_set: completions of two sources with equal sets and problems answer the same problem.
        completions: all of them.
    """

    run: str
    name: str
    problem_set: str
    completions: Sequence[Completion]


def browser_data(runs: Sequence[Run], *, limit: int = LIMIT, characters: int = CHARACTERS) -> dict[str, Any]:
    """What the page's script reads.

    Args:
        runs: R runs.
        limit: most completions kept.
        characters: most characters of all texts together.
    """
    found = sources_of(runs)
    chosen = choose(found, limit)
    longest = text_limit([len(c.text) for completions in chosen for c in completions], characters)
    strings: dict[str, int] = {}
    return {
        "kinds": list(KINDS),
        "longest": longest,
        "sources": [
            {
                "run": source.run,
                "name": source.name,
                "set": source.problem_set,
                "of": len(source.completions),
                "items": [_item(c, strings, longest) for c in completions],
            }
            for source, completions in zip(found, chosen, strict=True)
        ],
        "strings": list(strings),  # last: `_item` fills it
    }


def sources_of(runs: Sequence[Run]) -> list[Source]:
    """The evaluations of every run, then what it logged while training."""
    found = []
    for run in runs:
        for evaluated in run.evaluations:
            found.append(
                Source(
                    run.name,
                    evaluated.name,
                    evaluated.problems_hash or f"{run.name}/{evaluated.name}",
                    evaluated.completions,
                )
            )
        if run.completions:
            found.append(Source(run.name, "training", "training", run.completions))
    return found


def choose(sources: Sequence[Source], limit: int) -> list[list[Completion]]:
    """At most about `limit` completions: the same problems in every source of a set, evenly over the training steps.

    Evaluations come first, because both sides of a comparison must be there; training gets the rest, but at least a
    quarter.
    """
    training = sum(len(source.completions) for source in sources if source.name == "training")
    evaluated = sum(len(source.completions) for source in sources) - training
    room = max(1, limit - training, limit * 3 // 4)
    every = max(1, -(-evaluated // room))
    problems = {s.problem_set: _every(s, every) for s in reversed(sources) if s.name != "training"}
    chosen = {
        id(source): [c for c in source.completions if c.problem in problems[source.problem_set]]
        for source in sources
        if source.name != "training"
    }
    left = limit - sum(len(completions) for completions in chosen.values())
    stride = max(1, -(-training // max(1, left)))
    return [chosen.get(id(source)) or _groups(source.completions, stride) for source in sources]


def _every(source: Source, every: int) -> set[str]:
    return set(list(dict.fromkeys(c.problem for c in source.completions))[::every])


def _groups(completions: Sequence[Completion], stride: int) -> list[Completion]:
    """Every `stride`-th group of completions that share step and problem, whole."""
    places = {key: i for i, key in enumerate(dict.fromkeys((c.step, c.problem) for c in completions))}
    return [c for c in completions if places[c.step, c.problem] % stride == 0]


def text_limit(lengths: Sequence[int], characters: int) -> int | None:
    """The length to which long texts are cut so that all together have at most `characters`; `None`: no cut.

    Example:
        >>> text_limit([600, 600, 4000], 3000)
        1800
    """
    if sum(lengths) <= characters:
        return None
    left, ordered = characters, sorted(lengths)
    for i, length in enumerate(ordered):
        share = left // (len(ordered) - i)
        if length > share:
            return max(SHORTEST_LIMIT, share)
        left -= length
    return None


def _item(completion: Completion, strings: dict[str, int], longest: int | None) -> list[Any]:
    """problem, prompt, text, score, reason, tokens, finished, step, sample, level, rewards, behaviors, cut, compared.

    A list and not an object, and prompts and reasons by number: a third less to load.
    """

    def number(text: str) -> int:
        return strings.setdefault(text, len(strings))

    text, left_out = shortened(completion.text, longest)
    return [
        number(completion.problem),
        number(completion.question),
        text,
        completion.score,
        number(completion.reason),
        completion.tokens,
        completion.finished,
        completion.step,
        completion.sample,
        completion.level,
        [[number(name), value] for name, value in completion.rewards.items()],
        [value for found in spans(text) for value in found],
        left_out,
        number(_compared(completion)),
    ]


def _compared(completion: Completion) -> str:
    """What the verifier compared, as text; empty if that was not recorded."""
    if completion.gold is None:
        return ""
    return f"compared {completion.answer or 'nothing'} with {completion.gold}"


def shortened(text: str, longest: int | None) -> tuple[str, int]:
    """`text` without its middle, and how many characters that were."""
    if longest is None or len(text) <= longest:
        return text, 0
    head = longest // 2
    tail = longest - head
    return f"{text[:head]}\n[...]\n{text[-tail:]}", len(text) - longest


def spans(text: str) -> list[tuple[int, int, int]]:
    """(start, end, index of the kind) of each behaviour, in UTF-16 units, which is how the page's script counts.

    Example:
        >>> spans("Alternatively, factor it.")[0][2] == KINDS.index("alternatives")
        True
    """
    found = find_behaviours(text)
    places = sorted({offset for b in found for offset in (b.start, b.end)})
    shifted, astral, before = {}, 0, 0
    for place in places:
        astral += 0 if text.isascii() else sum(char > "\uffff" for char in text[before:place])
        shifted[place], before = place + astral, place
    return [(shifted[b.start], shifted[b.end], KINDS.index(b.kind)) for b in found]
