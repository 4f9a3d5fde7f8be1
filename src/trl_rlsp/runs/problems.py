"""The text of an evaluation's problems, where its samples don't hold it: loaded again, from local sources only.

A generator with its seed gives the same problems again, and a file is read again; nothing is fetched. If the source
no longer gives the problems that were evaluated, its texts are not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path

from trl_rlsp.errors import RLSPError
from trl_rlsp.runs.run import Completion, Evaluated

GENERATED = "reasoning_gym:"


def with_prompts(evaluations: Sequence[Evaluated]) -> list[Evaluated]:
    """The evaluations, with the problem's text in each completion where it can be had."""
    loaded: dict[tuple[str, ...], list[str]] = {}
    return [_with_prompts(evaluated, loaded) for evaluated in evaluations]


def _with_prompts(evaluated: Evaluated, loaded: dict[tuple[str, ...], list[str]]) -> Evaluated:
    if any(completion.prompt for completion in evaluated.completions):
        return evaluated
    key = evaluated.problem_set
    if key not in loaded:
        loaded[key] = load_texts(evaluated)
    texts = loaded[key]
    return replace(evaluated, completions=[_prompted(completion, texts) for completion in evaluated.completions])


def load_texts(evaluated: Evaluated) -> list[str]:
    """What the user asks in each problem, in order; empty if the source is not local or cannot be read."""
    from trl_rlsp.evaluation.fingerprint import problems_hash
    from trl_rlsp.runs.logged import user_text
    from trl_rlsp.stages.arguments import ProblemArguments

    source = evaluated.settings.get("dataset")
    if not isinstance(source, str) or not (source.startswith(GENERATED) or Path(source).is_file()):
        return []
    known = {field.name for field in fields(ProblemArguments)}
    settings = {name: value for name, value in evaluated.settings.items() if name in known}
    try:
        problems = ProblemArguments(**settings).load()
    except RLSPError:
        return []
    if evaluated.problems_hash:
        same = problems_hash(problems) == evaluated.problems_hash
    else:
        same = len(problems) == len({completion.problem for completion in evaluated.completions})
    return [user_text(prompt) for prompt in problems["prompt"]] if same else []


def _prompted(completion: Completion, texts: Sequence[str]) -> Completion:
    place = int(completion.problem) if completion.problem.isdigit() else len(texts)
    return replace(completion, prompt=texts[place]) if place < len(texts) else completion
