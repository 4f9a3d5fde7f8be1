"""What stands in for the Hub where a page loads a model or a data set by its name.

A model is put into a cache folder of the Hub's own layout, so that it is loaded by its name, offline, by the same code
as a downloaded one. It has two layers of the architecture of that name, a byte tokenizer with the family's chat
template, and knows two answers to each of two problems: half of them right, so that RL has something to learn from.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
MODELS = ("Qwen/Qwen2.5-1.5B-Instruct",)
REVISION = "0" * 40


def recipe_stand_ins():
    """The module of the recipes' tests that makes tiny models and rows."""
    folder = str(ROOT / "tests" / "recipes")
    if folder not in sys.path:
        sys.path.append(folder)
    import stand_ins

    return stand_ins


def read_two(path, *, name=None, split=None, revision=None):
    """The first two rows of a data set of the Hub."""
    table = recipe_stand_ins().stand_in(path)
    return type(table)(path, table.rows[:2], "row", range(1, 3))


def fill_cache(folder):
    """Put each of MODELS into a cache folder of the Hub."""
    for name in MODELS:
        place = folder / f"models--{name.replace('/', '--')}"
        (place / "refs").mkdir(parents=True)
        (place / "refs" / "main").write_text(REVISION)
        snapshot = place / "snapshots" / REVISION
        recipe_stand_ins().save_tiny(name, snapshot)
        teach(snapshot)


def teach(folder, steps=80):
    """Train the model of a folder on a right and a wrong answer to each of two problems of MATH's stand-in."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from trl_rlsp import load_problems

    tokenizer = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    rows = load_problems(str(problem_file(folder)))
    prompts = [tokenizer.apply_chat_template(row, tokenize=False, add_generation_prompt=True) for row in rows["prompt"]]
    pairs = [
        (prompt, f"It is \\boxed{{{answer}}}.{tokenizer.eos_token}")
        for prompt, right in zip(prompts, rows["solution"], strict=True)
        for answer in (right, "9")
    ]
    batch = tokenizer([prompt + text for prompt, text in pairs], return_tensors="pt", padding=True)
    labels = torch.full_like(batch["input_ids"], -100)
    for row, (_, text) in enumerate(pairs):
        length = len(tokenizer(text)["input_ids"])
        labels[row, -length:] = batch["input_ids"][row, -length:]
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        model(**batch, labels=labels).loss.backward()
        optimizer.step()
    model.to(torch.bfloat16).save_pretrained(folder)


def problem_file(folder):
    """The two problems of `read_two` for MATH as a file beside the model."""
    path = folder / "problems.jsonl"
    path.write_text('{"problem": "What is $1 + 1$?", "answer": "2"}\n{"problem": "What is $2 + 2$?", "answer": "4"}\n')
    return path


def train_on_cpu(settings):
    """Let a page's settings for a GPU be those of a CPU: no bfloat16, nothing reported."""
    settings.use_cpu, settings.bf16, settings.report_to = True, False, "none"
