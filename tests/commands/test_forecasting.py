"""`rlsp forecast` on runs written by hand."""

from __future__ import annotations

import json

import pytest

from trl_rlsp.cli import main


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A function that writes a run with these solve rates, one per 1,000 tokens."""
    monkeypatch.setenv("COLUMNS", "200")

    def write(name, rates):
        log = [
            {"step": i, "num_tokens": 1000.0 * i, "rewards/outcome_verifier/mean": rate}
            for i, rate in enumerate(rates, start=1)
        ]
        (tmp_path / name).mkdir()
        (tmp_path / name / "trainer_state.json").write_text(json.dumps({"log_history": log}))
        return str(tmp_path / name)

    return write


SIGMOID = [0.1 + 0.5 / (1 + (15 / i) ** 2) for i in range(1, 101)]


def test_a_known_end_and_a_run_without_a_rise(run, capsys, tmp_path):
    output = tmp_path / "forecast.json"
    assert main(["forecast", run("good", SIGMOID), run("flat", [0.25] * 100), "--output", str(output)]) == 0
    shown = capsys.readouterr().out
    found = json.loads(output.read_text())
    assert found["good"]["forecast"]["mean"] == pytest.approx(found["good"]["actual"], abs=0.02)
    assert found["flat"]["forecast"] is None
    row = next(line for line in shown.splitlines() if "flat" in line)
    assert [cell.strip() for cell in row.strip("│ ").split("│")] == [
        "flat",
        "100,000",
        "25",
        "none",
        "25.0 %",
        "25.0 %",
        "",
        "+0.0",
    ]
    assert "no forecast of flat: no rise up to 25,000 tokens" in shown


def test_a_run_that_goes_on(run, capsys):
    assert main(["forecast", run("going", SIGMOID[:50]), "--tokens", "100000", "--share", "0.5"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if "going" in line)
    cells = [cell.strip() for cell in row.strip("│ ").split("│")]
    assert cells[:3] == ["going", "100,000", "50"]
    assert float(cells[3].split()[0]) == pytest.approx(100 * SIGMOID[-1], abs=2)


def test_no_tokens_in_the_log(tmp_path, capsys):
    (tmp_path / "trainer_state.json").write_text('{"log_history": [{"step": 1, "rewards/accuracy_reward/mean": 0.5}]}')
    assert main(["forecast", str(tmp_path)]) == 2
    assert "has none of sampled_tokens, num_tokens" in " ".join(capsys.readouterr().err.split())
