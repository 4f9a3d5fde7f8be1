"""The one grammar of every command: YAML, overrides, lists, and what it says about a field that does not exist."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from trl_rlsp.errors import ConfigError
from trl_rlsp.stages import option, parse_known, parse_stage, read_stage, read_yaml
from trl_rlsp.stages._parsing import config_of


@dataclass
class Fields:
    runs: list[Path] = field(metadata={"positional": "+"})
    plots: bool = True
    rate: float = 0.5
    count: int | None = None
    ks: list[int] | None = None
    names: list[str] = field(default_factory=list)
    extra: dict | str | None = None
    model_name_or_path: str | None = None


def parse(*arguments, **options):
    return parse_stage((Fields,), arguments, "rlsp test", **options)[0]


@pytest.fixture
def file(tmp_path):
    def write(text):
        (tmp_path / "stage.yaml").write_text(text)
        return str(tmp_path / "stage.yaml")

    return write


class TestHelp:
    def test_says_what_a_command_and_its_fields_are(self, capsys):
        @dataclass
        class Documented:
            """Does something."""

            runs: list[Path] = field(metadata={"positional": "+", "help": "folders"})
            rate: float = option(0.5, "share")

        with pytest.raises(SystemExit):
            parse_stage((Documented,), ["--help"], "rlsp test")
        shown = " ".join(capsys.readouterr().out.split())
        assert "Does something." in shown
        assert "runs folders" in shown
        assert "--rate RATE share (default: 0.5)" in shown


class TestValues:
    def test_the_command_line_wins_over_the_file_over_the_default(self, file):
        path = file("rate: 1e-3\ncount: 4\n")
        assert parse("r", "--config", path).rate == 0.001  # text in YAML 1.1
        assert parse("r", "--config", path, "--rate", "2").rate == 2.0
        assert parse("r", f"--config={path}", "--rate=-1").rate == -1.0
        assert parse("r").count is None

    def test_lists_in_the_file_and_on_the_command_line(self, file):
        path = file("ks: [1, 2]\nnames: one\n")
        assert (parse("r", "--config", path).ks, parse("r", "--config", path).names) == ([1, 2], ["one"])
        assert parse("r", "--ks", "1", "2").ks == [1, 2]
        assert parse("r", "--config", path, "--names", "a", "b").names == ["a", "b"]

    def test_a_mapping_and_null(self, file):
        found = parse("r", "--config", file("extra: {a: 1}\ncount: null\n"))
        assert (found.extra, found.count) == ({"a": 1}, None)

    def test_a_flag_takes_no_value(self):
        found = parse("--no_plots", "one", "two")
        assert (found.runs, found.plots) == ([Path("one"), Path("two")], False)

    def test_a_model_beside_the_file(self, file, tmp_path):
        (tmp_path / "base").mkdir()
        assert parse("r", "--config", file("model_name_or_path: base\n")).model_name_or_path == str(tmp_path / "base")

    def test_what_of_the_file_counts(self, file):
        def renamed(content):
            return {"rate": content["speed"]}

        assert parse("r", "--config", file("speed: 3\nenv: {A: 1}\n"), written=renamed).rate == 3.0

    def test_what_is_left_over(self):
        found, rest = parse_known(Fields, ["r", "--rate", "1", "--other", "2"], "rlsp test")
        assert (found.rate, rest) == (1.0, ["--other", "2"])

    def test_settings_as_written_are_not_judged(self, file):
        @dataclass
        class Judged:
            rate: float = 1.0

            def __post_init__(self):
                raise ConfigError("judged")

        with pytest.raises(ConfigError, match="judged"):
            parse_stage((Judged,), ["--config", file("rate: 2\n")], "rlsp test")
        (found,) = parse_stage((Judged,), ["--config", file("rate: 2\n")], "rlsp test", as_written=Judged)
        assert found.rate == 2.0


class TestRefused:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("rates: 1\n", r"unknown field 'rates' in .*stage.yaml \(did you mean 'rate'\?\)"),
            ("zzzzzz: 1\n", r"unknown field 'zzzzzz' in .*stage.yaml; `rlsp test --help` lists every field"),
            ("rate: fast\n", "rate in .*stage.yaml is a number, got 'fast'"),
            ("rate: [1]\n", r"rate in .*stage.yaml is a number, got \[1\]"),
            ("count: true\n", "count in .*stage.yaml is a whole number, got True"),
            ("count: 1.5\n", "count in .*stage.yaml is a whole number, got 1.5"),
            ("ks: [1, x]\n", r"ks in .*stage.yaml is a whole number, got \[1, 'x'\]"),
        ],
    )
    def test_in_the_file(self, file, text, message):
        with pytest.raises(ConfigError, match=message):
            parse("r", "--config", file(text))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["r", "--rat", "1"], r"unknown argument '--rat' \(did you mean 'rate'\?\)"),
            (["r", "--rate", "fast"], "argument --rate: invalid float value: 'fast'"),
            ([], "the following arguments are required: runs"),
            (["r", "--config"], "--config needs a YAML file after it"),
        ],
    )
    def test_on_the_command_line(self, arguments, message):
        with pytest.raises(ConfigError, match=message):
            parse(*arguments)

    def test_a_file_that_is_no_text(self, tmp_path):
        (tmp_path / "stage.yaml").write_bytes(b"\xff\xfe\x00")
        with pytest.raises(ConfigError, match="is not valid YAML in UTF-8"):
            read_yaml(tmp_path / "stage.yaml")

    def test_a_folder(self, tmp_path):
        with pytest.raises(ConfigError, match="cannot read the configuration"):
            read_yaml(tmp_path)


def test_no_file():
    assert config_of(["--alpha", "1"]) is None


class TestStart:
    @pytest.fixture
    def started(self, tmp_path, monkeypatch):
        """A function: the model that each stage's file names -> the one that a stage is read to start from."""
        monkeypatch.chdir(tmp_path)

        def read(kind, name, **models):
            for stage, model in models.items():
                (tmp_path / f"{stage}.yaml").write_text(f"model_name_or_path: {model}\noutput_dir: runs/{stage}\n")
            return read_stage(kind, ["--config", str(tmp_path / f"{name}.yaml")], processes=1).model.model_name_or_path

        return read

    def test_it_is_found_through_the_stages_before(self, started):
        files = {"sft": "hub/model", "grpo": "runs/sft", "own": "runs/grpo"}
        assert started("sft", "own", **files) == "hub/model"

    def test_two_that_name_each_other(self, started):
        files = {"sft": "runs/grpo", "grpo": "runs/sft"}
        assert started("sft", "sft", **files) == "runs/grpo"
        assert started("grpo", "grpo", **files) == "runs/grpo"
