"""Sampling completions, scoring them with the verifier used in training, and grouping equal answers for votes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

from trl_rlsp.countdown import count_attempts
from trl_rlsp.errors import DataError
from trl_rlsp.evaluation._metrics import Evaluation, ScoredSample, summarize
from trl_rlsp.evaluation._store import SampleStore, problems_hash
from trl_rlsp.generation import Engine, Request, Sample, Sampling, TransformersEngine, all_requests
from trl_rlsp.generation.sampling import chunks
from trl_rlsp.problems import task_name
from trl_rlsp.rewards import OutcomeVerifier
from trl_rlsp.text import Reading, normalize

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TASK_METRICS: dict[str, dict[str, Callable[[str], float]]] = {"countdown": {"search_steps": count_attempts}}
AT_ONCE = 256  # completions or pairs per call of the verifier, whose time limit is meant for a training batch
MAX_DISTINCT = 16  # wrong answers compared per problem, the most frequent ones: at most 120 pairs


def evaluate(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    dataset: Dataset,
    sampling: Sampling,
    *,
    verifier: OutcomeVerifier | None = None,
    on_batch: Callable[[int], None] | None = None,
) -> tuple[Evaluation, list[ScoredSample]]:
    """`draw`, then `evaluate_samples`, for a model whose tokenizer pads on the left."""
    samples = draw(TransformersEngine(model, tokenizer), dataset, sampling, on_batch=on_batch)
    return evaluate_samples(samples, dataset, verifier=verifier, tokenizer=tokenizer)


def draw(
    engine: Engine | None,
    dataset: Dataset,
    sampling: Sampling,
    *,
    store: SampleStore | None = None,
    on_batch: Callable[[int], None] | None = None,
    requests: Sequence[Request] | None = None,
) -> list[Sample]:
    """Completions of P problems, by default P * n in the order of problems and samples; a DataError for no problems.

    Stored samples are not drawn again (`engine` may be `None` if all are stored), and new ones are stored as they
    come; `on_batch` receives the number of completions so far, stored ones included.
    """
    if len(dataset) == 0:
        raise DataError("there are no problems to evaluate on")
    requests = all_requests(len(dataset), sampling.n) if requests is None else requests
    missing = requests if store is None else store.missing(requests)
    drawn = {} if store is None else dict(store.samples)
    if missing and engine is not None:
        for batch in engine.sample(list(dataset["prompt"]), missing, sampling):
            if store is not None:
                store.append(batch)
            drawn |= {sample.request: sample for sample in batch}
            if on_batch is not None:
                on_batch(len(drawn))
    return [drawn[request] for request in requests]


def evaluate_samples(
    samples: Sequence[Sample],
    dataset: Dataset,
    *,
    verifier: OutcomeVerifier | None = None,
    ks: Sequence[int] | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> tuple[Evaluation, list[ScoredSample]]:
    """Score completions of the problems of `dataset` from any source, and `summarize` them.

    The default verifier is an `OutcomeVerifier()`, closed at the end. If the chat template of the model's tokenizer
    opens the thinking (`trl_rlsp.text.thinking_is_open`), a completion that never closes it has no answer. A DataError
    for a completion whose problem is not in `dataset`.
    """
    with nullcontext(verifier) if verifier is not None else OutcomeVerifier() as judge:
        if tokenizer is not None:
            judge.reader.look_at_template(tokenizer)
        scored = score_samples(samples, dataset, judge)
    return replace(summarize(scored, ks), problems_hash=problems_hash(dataset)), scored


def score_samples(samples: Sequence[Sample], dataset: Dataset, verifier: OutcomeVerifier) -> list[ScoredSample]:
    """Verdicts and voting keys of samples of the problems of `dataset`; truncated samples are scored as they are."""
    rows = dataset.to_list()
    beyond = next((s.prompt_index for s in samples if not 0 <= s.prompt_index < len(rows)), None)
    if beyond is not None:
        raise DataError(f"the samples have a problem {beyond}, but there are only {len(rows)} problems")
    judged = [scored for part in chunks(samples, AT_ONCE) for scored in _score(part, rows, verifier)]
    keys = voting_keys(rows, judged, verifier)
    return [replace(scored, answer=key) for scored, key in zip(judged, keys, strict=True)]


def _score(samples: Sequence[Sample], rows: list[dict[str, Any]], verifier: OutcomeVerifier) -> Iterator[ScoredSample]:
    of = [rows[sample.prompt_index] for sample in samples]
    columns: dict[str, Any] = {name: [row[name] for row in of] for name in rows[0] if name != "prompt"}
    texts = [sample.text for sample in samples]
    columns["prompts"] = [row["prompt"] for row in of]
    readings = verifier.reader.read(texts, columns)
    verdicts = verifier.verdicts(texts, **columns, readings=readings)
    measures = {id(row): TASK_METRICS.get(task_name(row) or "", {}) for row in of}
    for sample, row, reading, verdict in zip(samples, of, readings, verdicts, strict=True):
        subject = row.get("subject", row.get("type"))
        yield ScoredSample(
            problem=sample.prompt_index,
            text=sample.text,
            tokens=sample.tokens,
            finished=not sample.truncated and reading.finished,
            answer=final_answer(row, reading),
            score=verdict.score,
            reason=verdict.reason,
            sample=sample.sample_index,
            truncated=sample.truncated,
            level=None if row.get("level") is None else str(row["level"]),
            subject=None if subject is None else str(subject),
            compared_gold=verdict.gold,
            compared_answer=verdict.answer,
            task_metrics={name: measure(sample.text) for name, measure in measures[id(row)].items()},
        )


def final_answer(row: Mapping[str, Any], reading: Reading) -> str | None:
    """The answer of a completion of a row as normalized text; `None` for no answer."""
    if reading.answer is None:
        return None
    if row.get("tests") is not None:
        return "\n".join(line.rstrip() for line in reading.answer.strip().splitlines())
    return normalize(reading.answer) if _is_math(row) else " ".join(reading.answer.split())


def _is_math(row: Mapping[str, Any]) -> bool:
    return row.get("tests") is None and row.get("task") is None


def voting_keys(
    rows: Sequence[Mapping[str, Any]], scored: Sequence[ScoredSample], verifier: OutcomeVerifier
) -> list[str | None]:
    """A key for each completion, equal for equal answers to a problem: the most frequent text of the answer.

    Right answers to a math problem are equal, and wrong ones are if the verifier matches their texts pairwise. Other
    kinds of answers, and all answers under a custom verifier, are equal if their texts are. `None` for no answer.
    """
    votes: dict[int, Counter[str]] = defaultdict(Counter)
    right: dict[int, set[str]] = defaultdict(set)
    for s in scored:
        if s.answer is not None:
            votes[s.problem][s.answer] += 1
            if s.score == 1.0 and _is_math(rows[s.problem]):
                right[s.problem].add(s.answer)
    keys: dict[int, dict[str, str]] = {}
    pairs: list[tuple[int, str, str]] = []
    for problem, count in votes.items():
        texts = [text for text, _ in count.most_common()]
        same = [text for text in texts if text in right[problem]]
        keys[problem] = {text: same[0] if text in same else text for text in texts}
        if _is_math(rows[problem]) and verifier.compares_answers:
            wrong = [text for text in texts if text not in same][:MAX_DISTINCT]
            pairs += [(problem, one, other) for one, other in combinations(wrong, 2)]
    for part in chunks(pairs, AT_ONCE):
        boxed = [f"\\boxed{{{other}}}" for _, _, other in part]
        verdicts = verifier.verdicts(boxed, solution=[one for _, one, _ in part])
        for (problem, one, other), verdict in zip(part, verdicts, strict=True):
            if verdict.score == 1.0:
                own = keys[problem]
                equal = {own[one], own[other]}
                first = next(text for text in own if text in equal)  # the most frequent
                own.update({text: first for text, key in own.items() if key in equal})
    return [None if s.answer is None else keys[s.problem][s.answer] for s in scored]
