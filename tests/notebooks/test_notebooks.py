"""Every notebook runs from top to bottom in a fresh kernel, in an empty folder, and shows what it says."""

from __future__ import annotations

import json

import pytest


def printed(cells):
    """All that the code cells print."""
    streams = [o for cell in cells if cell.cell_type == "code" for o in cell.outputs if o.output_type == "stream"]
    return "".join(output.text for output in streams)


def tables(cells):
    """First cells of the rows of each Markdown table among the outputs."""
    shown = [
        text for cell in cells for o in cell.get("outputs", []) if (text := o.get("data", {}).get("text/markdown"))
    ]
    return [[row.split("|")[1].strip() for row in text.splitlines()[2:] if row.startswith("|")] for text in shown]


def test_quickstart(run):
    cells, found, runs = run(
        1,
        accuracy="{name: figure.pass_at_1.mean for name, figure in figures.items()}",
        finished="{name: figure.finished.mean for name, figure in figures.items()}",
        problems="[figure.problems for figure in figures.values()]",
        curve="[entry['completions/mean_length'] for entry in log]",
        demonstration="search['content']",
    )
    assert tables(cells) == [["start", "SFT", "RLSP"]]
    assert found["problems"] == [24, 24, 24]
    assert found["accuracy"]["start"] > 0.05  # 0.25 over all problems
    assert min(found["finished"].values()) > 0.5
    assert len(found["curve"]) == 3
    assert found["demonstration"].count("?") >= 1
    assert "\\boxed{" in found["demonstration"]
    folder = runs / "notebook-quickstart"
    steps = {stage: json.loads((folder / stage / "stage.json").read_text())["steps"] for stage in ("sft", "rlsp")}
    assert steps == {"sft": 4, "rlsp": 3}
    assert (folder / "report" / "index.html").stat().st_size > 10_000


def test_rewards(run):
    cells, found, _ = run(
        2,
        suite="list(earned['suite']['gain'])",
        paper="list(earned['paper']['gain'])",
        kinds="sorted(set(closed['kind'])) == sorted(set(attacks['kind']))",
        open="list(still['gain'])",
        group="list(parts.sum(axis=1))",
        inverted="[short_right, long_wrong]",
    )
    assert max(found["suite"]) <= 1e-12  # every attack earns no more than its honest completion
    assert sum(gain > 0.01 for gain in found["paper"]) >= 5
    assert found["kinds"]
    assert 0 < max(found["open"]) < 0.05
    searched, at_once, long_wrong, two_answers = found["group"]
    assert searched > at_once > 0.9 > 0.1 > long_wrong > two_answers
    assert found["inverted"] == pytest.approx([1 - 0.25 * 1000 / 200, -0.25 * 1000 / 4096])
    assert "suite: 0 of" in printed(cells)


def test_llama_in_four_bits(run):
    cells, found, runs = run(
        3,
        planned="{kind: one.weights for kind, one in planned.items()}",
        fits="[one.fits(80) for one in planned.values()]",
        kl="list(log['kl'])",
        problems="[figure.problems for figure in figures.values()]",
    )
    assert printed(cells).count("4-bit layers: 14 (nf4, computes in torch.bfloat16)") == 2  # 2 layers x 7, both stages
    assert printed(cells).count("in torch.float32") == 2
    assert found["fits"] == [True, True]
    assert min(found["planned"].values()) > 8e9 / 2  # the real model, of half a byte a weight
    assert len(found["kl"]) == 2
    assert found["kl"][0] == 0
    assert tables(cells) == [["start", "SFT", "RLSP"]]
    assert found["problems"] == [1, 1, 1]
    for stage in ("sft", "rlsp"):
        adapter = json.loads((runs / "notebook-llama" / stage / "adapter_config.json").read_text())
        assert adapter["base_model_name_or_path"] == "../runs/tiny-llama"
        assert adapter["r"] == 64


def test_qwen_on_one_node(run):
    cells, found, runs = run(
        4,
        peaks="{f'{gpus} {way}': plan.peak / GIB for (gpus, way), plan in plans.items()}",
        fits="chosen.fits(80)",
        remedies="[remedy.layout.fits(48) for remedy in remedies(model, settings, 8, 'ddp', memory=48)]",
        kl="list(log['kl'])",
    )
    assert found["fits"]
    assert found["peaks"]["8 ddp"] > 32e9 / 2 / 2**30
    assert found["peaks"]["8 ddp"] > found["peaks"]["8 zero3"]
    assert any(found["remedies"])
    healthy, spoiled = printed(cells).split("spoiled:")
    assert "error" not in healthy
    assert all(f"error, {check}:" in spoiled for check in ("exploration", "groups"))
    assert found["kl"][0] == 0
    assert json.loads((runs / "notebook-aime" / "stage.json").read_text())["steps"] == 2


def test_behaviours(run):
    cells, found, runs = run(
        5,
        steps="list(rates.index)",
        rates="rates.sum(axis=1).to_list()",
        attempts="searches['attempts'].to_list()",
        marked="sum(count_behaviours(richest).values())",
        changes="changes.count().to_list()",
    )
    assert found["steps"] == [1, 2, 3, 4]
    assert min(found["rates"]) > 0
    assert min(found["attempts"]) > 0
    assert found["changes"] == [4, 4, 4, 4]  # scored at each of the steps
    kinds_of_prose = [line.split()[0] for line in printed(cells).splitlines() if line.endswith("'")]
    assert kinds_of_prose == ["subgoals", "verification", "self_correction", "alternatives"]
    (page,) = [o["data"]["text/html"] for c in cells for o in c.get("outputs", []) if "<span" in str(o.get("data"))]
    assert page.count("<span") == found["marked"] > 2
    assert (runs / "notebook-plain-trl" / "report" / "index.html").stat().st_size > 10_000


def test_own_domain(run):
    _, found, _ = run(
        6,
        right="verifier(completions=answers, solution=['3 5 8 9 : 17'] * len(answers))",
        tried="sums_tried(completions=tries, solution=['3 5 8 9 : 17'] * len(tries))",
        steps="list(log.index)",
        logged="log[['rewards/outcome_verifier/mean', 'rewards/sums_tried/mean']].count().to_list()",
        problems="figures.problems",
        not_scorable="figures.not_scorable",
    )
    assert found["right"] == [1.0, 0.0, 1.0, 0.0, 0.0]
    assert found["tried"] == pytest.approx([2 / 6, 1 / 5, 0.0])  # n / (n + 4)
    assert found["steps"] == [1, 2, 3, 4]
    assert found["logged"] == [4, 4]
    assert (found["problems"], found["not_scorable"]) == (32, 0)


def test_own_csv(run):
    cells, found, runs = run(
        7,
        scores="scores",
        steps="list(log.index)",
        apart="not set(map(str, parts['train']['prompt'])) & set(map(str, parts['test']['prompt']))",
        problems="[before.problems, after.problems]",
    )
    assert set(found["scores"]) == {1.0}
    assert len(found["scores"]) > 250
    assert found["steps"] == [1, 2, 3]
    assert found["apart"]
    assert found["problems"] == [32, 32]
    assert tables(cells) == [["before", "after"]]
    assert (runs / "problems.csv").is_file()
