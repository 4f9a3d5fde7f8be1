"""The last stage of an arm with `harvest`: SFT of the trained model on its own right completions."""

from __future__ import annotations

import shutil
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from countdown.grid import load_grid
from countdown.runner import MODEL, Run, learn_own
from trl_rlsp.generation import Sampling, TransformersEngine, all_requests, load_model

RECIPE = Path(__file__).resolve().parents[2] / "experiments" / "countdown" / "own.yaml"


@pytest.fixture
def run(taught_folder, tmp_path):
    shutil.copytree(taught_folder, tmp_path / MODEL)
    return Run("rl", 3, "test", 1e-3, 1, tmp_path, tmp_path, "")


def asked(prompt):
    return [{"role": "user", "content": prompt}]


def log(folder, taught, scores):
    rows = [
        {
            "step": 1,
            "prompt": [{"role": "user", "content": prompt}],
            "completion": text,
            "outcome_verifier": score,
            "advantage": 0.0,
        }
        for prompt, texts in taught.items()
        for text, score in zip(texts, scores, strict=True)
    ]
    file = folder / "completions" / "completions_00001.parquet"
    file.parent.mkdir(parents=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), file)


def test_nothing_right_leaves_the_model_as_it_is(run, taught):
    before = (run.folder / MODEL / "model.safetensors").read_bytes()
    log(run.folder / "trainer", taught, (0.0, 0.0, 0.0))
    assert learn_own(RECIPE, run, run.folder / "trainer") == 0
    assert (run.folder / MODEL / "model.safetensors").read_bytes() == before


def test_what_was_right_is_learned(run, taught):
    """A model that gives three completions equally often, one of them right, gives the right one nearly always."""
    log(run.folder / "trainer", taught, (1.0, 0.0, 0.0))
    assert learn_own(RECIPE, run, run.folder / "trainer") == 2
    engine = TransformersEngine(*load_model(str(run.folder / MODEL), dtype="float32"))
    sampling = Sampling(n=32, temperature=1.0, max_new_tokens=24)
    samples = [one for batch in engine.sample(list(map(asked, taught)), all_requests(2, 32), sampling) for one in batch]
    right = [one.text.strip() == list(taught.values())[one.prompt_index][0] for one in samples]
    assert sum(right) / len(right) > 0.8


def test_another_recipe_is_another_run(toy_grid, experiments):
    path = toy_grid(experiments / "countdown" / "frontier.yaml", arms={"rl": {"rewards": {}, "harvest": "own.yaml"}})
    found = []
    for text in ("learning_rate: 1.0e-3", "learning_rate: 2.0e-3"):
        (path.parent / "own.yaml").write_text(text)
        grid = load_grid(path)
        found.append(grid.fingerprint(grid.arms["rl"], 1e-3, 600, "start"))
    assert found[0] != found[1]
