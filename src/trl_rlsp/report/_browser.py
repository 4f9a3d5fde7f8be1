"""The data of the page's browser of completions, as JSON values.

A page must open at any size of run: at most `limit` completions are kept, and long ones lose their middle so that
all texts together stay under `characters`. What was left out is counted, and the page says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from trl_rlsp.behaviours import KINDS, find_behaviours
from trl_rlsp.runs import Completion, Run

LIMIT = 10_000
CHARACTERS = 60_000_000
SHORTEST_LIMIT = 500


class Source(NamedTuple):
    """Completions that can be chosen on one side of the page: of an evaluation, or of `training`.

    Those of two sources with equal sets and problems answer the same problem.
    """

    run: str
    name: str
    problem_set: str
    completions: Sequence[Completion]


def browser_data(runs: Sequence[Run], *, limit: int = LIMIT, characters: int = CHARACTERS) -> dict[str, Any]:
    """What the page's script reads, with at most so many completions and characters of all texts together."""
    sources = []
    for run in runs:
        for e in run.evaluations:
            sources.append(Source(run.name, e.name, e.problems_hash or f"{run.name}/{e.name}", e.completions))
        if run.completions:
            sources.append(Source(run.name, "training", "training", run.completions))
    chosen = choose(sources, limit)
    lengths = [len(c.text) for completions in chosen for c in completions]
    longest = max(SHORTEST_LIMIT, characters // len(lengths)) if sum(lengths) > characters else None
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
            for source, completions in zip(sources, chosen, strict=True)
        ],
        "strings": list(strings),  # last: `_item` fills it
    }


def choose(sources: Sequence[Source], limit: int) -> list[list[Completion]]:
    """At most about `limit` completions: the same problems in every source of a set, evenly over the training steps.

    Evaluations come first, because both sides of a comparison must be there; training gets the rest in whole groups
    that share step and problem, but at least a quarter.
    """

    training = sum(len(source.completions) for source in sources if source.name == "training")
    evaluated = sum(len(source.completions) for source in sources) - training
    of_evaluations = max(1, math.ceil(evaluated / max(1, limit - training, limit * 3 // 4)))
    of_training = max(1, math.ceil(training / max(1, limit - evaluated // of_evaluations)))
    kept: dict[tuple[str, str], set[tuple[int | None, str]]] = {}
    chosen = []
    for source in sources:
        every, owner = (of_training, source.run) if source.name == "training" else (of_evaluations, "")
        groups = list(dict.fromkeys((c.step, c.problem) for c in source.completions))
        wanted = kept.setdefault((owner, source.problem_set), set(groups[::every]))
        chosen.append([c for c in source.completions if (c.step, c.problem) in wanted])
    return chosen


def _item(completion: Completion, strings: dict[str, int], longest: int | None) -> list[Any]:
    """problem, prompt, text, score, reason, tokens, finished, step, sample, level, rewards, behaviors, cut, compared.

    A list and not an object, and prompts and reasons by number: a third less to load.
    """

    def number(text: str) -> int:
        return strings.setdefault(text, len(strings))

    text, left_out = shortened(completion.text, longest)
    compared = "" if completion.gold is None else f"compared {completion.answer or 'nothing'} with {completion.gold}"
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
        number(compared),
    ]


def shortened(text: str, longest: int | None) -> tuple[str, int]:
    """`text` without its middle, and how many characters that were."""
    if longest is None or len(text) <= longest:
        return text, 0
    head = longest // 2
    return f"{text[:head]}\n[...]\n{text[head - longest :]}", len(text) - longest


def spans(text: str) -> list[tuple[int, int, int]]:
    """(start, end, index of the kind) of each behavior, in UTF-16 units, which is how the page's script counts."""

    def units(place: int) -> int:
        return place if text.isascii() else len(text[:place].encode("utf-16-le", "surrogatepass")) // 2

    return [(units(b.start), units(b.end), KINDS.index(b.kind)) for b in find_behaviours(text)]
