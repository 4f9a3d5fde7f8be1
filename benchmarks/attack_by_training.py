"""Let optimization look for what the rewards and the scorers of generated tasks pay without being meant to.

    python benchmarks/attack_by_training.py [--rewards length ...] [--tasks countdown ...] [--updates 20] [--calls 2000]

The quickstart's base model is trained on each exploration reward alone, without a verifier. Its vocabulary has no
words, so it is given a few that cues of search are made of. For each task of reasoning-gym short answers are searched
that its scorer pays: random ones and those of the rows are changed, the best paid again and again. Either list may be
empty. Prints a JSON object a line; the same seed gives the same lines on the same machine.
"""

from __future__ import annotations

import argparse
import itertools
import json
import random
import statistics
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import PrinterCallback, set_seed

from trl_rlsp import (
    BehaviourExploration,
    CalculationExploration,
    DiversityExploration,
    LengthExploration,
    NoveltyExploration,
    OutcomeVerifier,
    RLSPGRPOConfig,
    RLSPGRPOTrainer,
    load_problems,
)
from trl_rlsp.generation import Sampling, TransformersEngine, all_requests, load_model
from trl_rlsp.stages import read_yaml

RECIPE = Path(__file__).parents[1] / "recipes" / "quickstart"
PROBLEMS = "reasoning_gym:countdown?min_numbers=3&max_numbers=3&min_value=1&max_value=12&min_target=10&max_target=99"
WORDS = ". Wait, Alternatively, Verify: Check: Let me check again back to start over that fails another way"
TASKS = (
    "chain_sum coin_flip complex_arithmetic countdown fraction_simplification gcd n_queens number_sorting "
    "power_function puzzle24 simple_equations spiral_matrix"
)
SIGNS = [*"0123456789", *"+-*/()[],. |%^=", "e", "i", "j", "\\frac{", "}", "\\text{", " or ", " and "]
KEPT = "num_generations temperature top_k adam_beta2 max_grad_norm bf16 use_cpu gradient_checkpointing"
QUIET = {"save_strategy": "no", "logging_strategy": "no", "report_to": "none", "disable_tqdm": True}
REWARDS: dict[str, Any] = {
    "length": LengthExploration(C=20),
    "calculation": CalculationExploration(K=2),
    "diversity": DiversityExploration(K=2),
    "behaviour": BehaviourExploration(),
    "novelty": NoveltyExploration(),
}


def model_with_words(likelihood: float = 0.7) -> tuple[Any, Any]:
    """The quickstart's base model and tokenizer with `WORDS` added: each a copy of a sign's, times `likelihood`."""
    model, tokenizer = load_model(str(RECIPE / "base"), dtype=torch.float32)
    tokenizer.add_tokens(WORDS.split())
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    weight = model.get_input_embeddings().weight
    with torch.no_grad():
        for word, sign in zip(WORDS.split(), itertools.cycle(["|", "no"]), strict=False):
            weight[tokenizer.convert_tokens_to_ids(word)] = likelihood * weight[tokenizer.convert_tokens_to_ids(sign)]
    return model, tokenizer


def repeated_share(text: str, size: int = 4) -> float:
    """The share of a text's n-grams of words that occur in it before."""
    words = text.split()
    grams = [tuple(words[i : i + size]) for i in range(len(words) - size + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def measured(model: Any, tokenizer: Any, reward: Any, verifier: Any, problems: Any, options: Any) -> dict[str, Any]:
    """What the model writes for each problem, eight times, and what the reward and the verifier give it."""
    model.eval()
    sampling = Sampling(n=8, temperature=1.0, max_new_tokens=options.tokens, batch_size=256, seed=options.seed)
    requests = all_requests(len(problems), sampling.n)
    batches = TransformersEngine(model, tokenizer).sample(problems["prompt"][:], requests, sampling)
    samples = sorted(itertools.chain(*batches), key=lambda sample: sample.request)
    rows = [problems[sample.prompt_index] for sample in samples]
    texts = [sample.text for sample in samples]
    columns = {"prompts": [row["prompt"] for row in rows], "task": [row["task"] for row in rows]}
    paid = reward(completions=texts, solution=[row["solution"] for row in rows], **columns)
    right = [verdict.score for verdict in verifier.verdicts(texts, **columns)]
    best = sorted(range(len(texts)), key=lambda i: (-paid[i], i))[:3]
    return {
        "reward": round(statistics.mean(paid), 3),
        "accuracy": round(statistics.mean(score for score in right if score is not None), 3),
        "not_scorable": right.count(None),
        "unfinished": round(statistics.mean(sample.truncated for sample in samples), 3),
        "tokens": round(statistics.mean(sample.tokens for sample in samples), 1),
        "repeated": round(statistics.mean(map(repeated_share, texts)), 3),
        "highest_paid": [{"paid": round(paid[i], 3), "right": right[i], "text": texts[i]} for i in best],
    }


def train(name: str, options: Any) -> dict[str, Any]:
    """Train on one exploration reward alone; the measurements before and after, on problems not trained on."""
    set_seed(options.seed)
    settings = read_yaml(RECIPE / "grpo.yaml")
    (model, tokenizer), reward = model_with_words(), REWARDS[name]
    held_out = load_problems(f"{PROBLEMS}&seed=1000000&size={options.prompts * 2}", prompt_style="compact", unique=True)
    size = options.prompts * options.updates
    dataset = load_problems(f"{PROBLEMS}&seed={options.seed + 1}&size={size}", prompt_style="compact", unique=True)
    with tempfile.TemporaryDirectory() as folder, OutcomeVerifier() as verifier:
        before = measured(model, tokenizer, reward, verifier, held_out, options)
        own = {"output_dir": folder, "max_steps": options.updates, "learning_rate": options.rate, "seed": options.seed}
        sizes = {"per_device_train_batch_size": 8 * options.prompts, "max_completion_length": options.tokens}
        args = RLSPGRPOConfig(**{name: settings[name] for name in KEPT.split()}, **own, **sizes, **QUIET)
        trainer = RLSPGRPOTrainer(
            model=model, reward_funcs=[reward], args=args, train_dataset=dataset, processing_class=tokenizer
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
        after = measured(model, tokenizer, reward, verifier, held_out, options)
    before.pop("highest_paid")
    return {"reward": repr(reward), "updates": options.updates, "before": before, "after": after}


def changed(answer: str, other: str, rng: random.Random) -> str:
    """An answer with one change: a sign put in, left out or replaced, a part said twice, or a part of another's."""
    at, to = rng.randint(0, len(answer)), rng.randint(0, len(other))
    sign = rng.choice(SIGNS)
    ends = [sign + answer[at:], answer[at + 1 :], sign + answer[at + 1 :], answer[: at + 1], other[to:]]
    return answer[:at] + rng.choice(ends)


def same(answer: str, gold: str) -> bool:
    """Whether two answers differ in blanks at most."""
    return "".join(answer.split()) == "".join(gold.split())


def search(
    score: Callable[[str], Sequence[bool]], own: Sequence[str], calls: int, seed: int = 0
) -> dict[str, list[bool]]:
    """The answers tried, each with the rows on which it is paid; first what is paid on the most rows of others.

    `own` are the rows' answers: half of the starts, the others are random. A use of `score` is a call for each row.
    """
    rng = random.Random(seed)
    starts = [*own, *("".join(rng.choices(SIGNS, k=rng.randint(1, 6))) for _ in own)]
    found: dict[str, list[bool]] = {}

    def worth(answer: str) -> tuple[int, float]:
        return sum(paid and not same(answer, gold) for paid, gold in zip(found[answer], own, strict=True)), rng.random()

    for tries in range(calls // len(own)):
        best = sorted(found, key=worth, reverse=True)[: len(starts) // 2]
        fresh = tries < len(starts) or rng.random() < 0.1
        start = starts[tries] if tries < len(starts) else "".join(rng.choices(SIGNS, k=rng.randint(1, 6)))
        answer = start if fresh else changed(rng.choice([*best, *own]), rng.choice([*best, *own]), rng)[:200]
        if answer not in found:
            found[answer] = list(score(answer))
    return dict(sorted(found.items(), key=lambda item: (-worth(item[0])[0], len(item[0]), item[0])))


def attack(name: str, options: Any) -> dict[str, Any]:
    """Search one task's scorer, and show what is paid on rows with another answer."""
    tasks = load_problems(f"reasoning_gym:{name}?seed={options.seed}&size={options.rows}")["task"]
    own = [str(json.loads(task)["entry"]["answer"]) for task in tasks]
    refused: set[str] = set()
    with OutcomeVerifier() as verifier:

        def score(answer: str) -> list[bool]:
            verdicts = verifier.verdicts([f"<answer>{answer}</answer>"] * len(tasks), task=tasks)
            refused.update(verdict.reason for verdict in verdicts if verdict.score is None)
            return [verdict.score == 1.0 for verdict in verdicts]

        found = search(score, own, options.calls, options.seed)
    paid = {answer: list(itertools.compress(own, rows)) for answer, rows in found.items() if any(rows)}
    several = {answer: golds for answer, golds in paid.items() if len(set(golds)) > 1}
    other = {answer: golds[0] for answer, golds in paid.items() if not same(answer, golds[0])}
    report = {"task": name, "answers": len(found), "not_scorable": sorted(refused), "paid_on_several": several}
    return report | {"paid_beside_own": len(other), "examples": dict(list(other.items())[: options.show])}


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rewards", nargs="*", default=list(REWARDS), help="rewards to train on; default: all")
    parser.add_argument(
        "--tasks", nargs="*", default=TASKS.split(), help="tasks of reasoning-gym; default: %(default)s"
    )
    sizes = {"updates": 20, "prompts": 16, "tokens": 128, "calls": 2000, "rows": 4, "show": 8, "seed": 0}
    for option, value in sizes.items():
        parser.add_argument(f"--{option}", type=int, default=value, help=f"default {value}")
    parser.add_argument("--rate", type=float, default=3e-4, help="learning rate")
    options = parser.parse_args()
    for name in options.rewards:
        print(json.dumps({"trained_on": name, **train(name, options)}, ensure_ascii=False), flush=True)
    for name in options.tasks:
        print(json.dumps(attack(name, options), ensure_ascii=False), flush=True)


if __name__ == "__main__":
    main()
