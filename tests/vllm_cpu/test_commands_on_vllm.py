"""`rlsp budget` and `rlsp filter` draw with vLLM what they draw with transformers."""

from __future__ import annotations

import json

import pytest

from trl_rlsp.cli import main

pytestmark = pytest.mark.slow
ROWS = [{"problem": text, "answer": text.rpartition(" ")[2]} for text in ("8 1 9 : 72", "1 2 3 : 6", "5 5 : 10")]


@pytest.fixture
def drawn(model_folder, tmp_path, eager):
    """What a command has drawn greedily with an engine: samples by the folder that they lie in."""
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))

    def run(engine, command, *arguments):
        common = ["--model_name_or_path", model_folder, "--dataset", str(tmp_path / "rows.jsonl"), "--engine", engine]
        common += ["--temperature", "0", "--dtype", "float32", "--system_prompt", "none", "--verifier_workers", "1"]
        assert main([command, *common, *arguments]) == 0
        found = sorted((tmp_path / engine).rglob("samples.jsonl"))
        return {str(path.parent.relative_to(tmp_path / engine)): path.read_text().splitlines() for path in found}

    return run


def same(lines, others):
    """Of the same tokens: what is kept of a sample beside its seconds."""
    names = ("problem", "sample", "text", "tokens", "finished")
    read = [sorted((json.loads(line) for line in each), key=lambda row: row["problem"]) for each in (lines, others)]
    return len(lines) == len(others) and all(
        one.get(name) == other.get(name) for one, other in zip(*read, strict=True) for name in names
    )


def test_budgets(drawn, tmp_path):
    """As ceiling and as floor: completions are cut, made to go on and made to answer, in segments."""
    pytest.importorskip("matplotlib")

    def at(engine):
        bounds = ["--budgets", "4,8", "--at_least", "--continuation", "|", "--answer_tokens", "4"]
        return drawn(engine, "budget", *bounds, "--max_new_tokens", "24", "--output_dir", str(tmp_path / engine))

    by_vllm, by_transformers = at("vllm"), at("transformers")
    assert len(by_vllm) == 2 * 5  # two ceilings, two floors and no budget, each with its segments
    assert by_vllm.keys() == by_transformers.keys()
    for folder, lines in by_vllm.items():
        assert same(lines, by_transformers[folder]), folder
    cut_and_free = [name for name in by_vllm if name.endswith(("/at_most_4", "/no_budget"))]  # in the order of names
    cut, free = ([json.loads(line)["tokens"] for line in by_vllm[name]] for name in cut_and_free)
    assert max(cut) <= 4 + 4  # reasoning and answer
    assert max(free) == 24


def test_filter(drawn, tmp_path):
    """Random weights solve nothing: all is kept in a band that begins at 0, with that solve rate."""

    def at(engine):
        output = str(tmp_path / engine / "kept.jsonl")
        return drawn(engine, "filter", "--n", "1", "--low", "0", "--max_new_tokens", "12", "--output", output)

    (by_vllm,), (by_transformers,) = at("vllm").values(), at("transformers").values()
    assert len(by_vllm) == len(ROWS)
    assert same(by_vllm, by_transformers)
    kept = [(tmp_path / engine / "kept.jsonl").read_text() for engine in ("vllm", "transformers")]
    assert kept[0] == kept[1]
    assert [json.loads(line)["solve_rate"] for line in kept[0].splitlines()] == [0.0] * len(ROWS)
