"""Every code block of README.md and docs/ is run, or read by what it is written for.

`python` blocks of a page are executed in order in one namespace; lines of `bash` blocks are read by the parser of the
command that they call; `yaml` blocks become the settings of a stage. A block that cannot be run says so, with the
reason, in a comment before it: `<!-- not run: REASON -->`.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import types
from pathlib import Path

import pytest
import yaml
from markdown_blocks import blocks_in, commands_named, indented_code
from shell_lines import check, commands_in, help_of

from trl_rlsp.verification import available_backend

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "AGENTS.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [path.relative_to(ROOT).as_posix() for path in PAGES]
BLOCKS = [block for page in PAGES for block in blocks_in(page, page.read_text(encoding="utf-8"))]
LANGUAGES = {"python", "bash", "yaml", "json", "math", "text", "console"}
JUDGE = "http://localhost:8000/v1"


def of(language, page=None):
    """The blocks of a language that are run, of one page or all."""
    wanted = [block for block in BLOCKS if block.language == language and block.not_run is None]
    return [block for block in wanted if page is None or block.page == page]


def summary():
    """How many blocks are run, and which are not."""
    left = [block for block in BLOCKS if block.not_run is not None]
    counts = ", ".join(f"{len(of(name))} {name}" for name in ("python", "bash", "yaml", "json") if of(name))
    lines = [f"code blocks of the documentation: {counts}; {len(left)} not run"]
    return "\n".join(lines + [f"  {block.page.relative_to(ROOT)}:{block.line}: {block.not_run}" for block in left])


class TestPython:
    @pytest.mark.parametrize("page", sorted({block.page for block in of("python")}), ids=lambda page: page.stem)
    @pytest.mark.filterwarnings("ignore")
    def test_runs(self, page, place, hub, judge_url):
        if page.stem == "code_sandbox" and available_backend() is None:
            pytest.skip("no sandbox on this machine")
        module = types.ModuleType(f"page_{page.stem.replace('.', '_')}")
        sys.modules[module.__name__] = module  # so that what a page defines can be pickled
        try:
            for block in of("python", page):
                code = "\n" * (block.line - 1) + block.text.replace(JUDGE, judge_url)
                exec(compile(code, str(page), "exec"), vars(module))
        finally:
            del sys.modules[module.__name__]
            for value in vars(module).values():
                if callable(getattr(value, "close", None)) and not isinstance(value, type):
                    value.close()

    def test_the_ten_lines_are_there(self):
        first = of("python", ROOT / "README.md")[0]
        assert len(first.text.splitlines()) == 10
        assert "trainer.train()" in first.text

    def test_the_ten_lines_learn_from_rewards_that_differ(self, place, hub):
        space = {}
        exec(of("python", ROOT / "README.md")[0].text, space)
        log = space["trainer"].state.log_history[-1]
        assert log["step"] == 6  # two problems, three epochs, a group each
        assert 0 < log["rewards/outcome_verifier/mean"] < 1


@pytest.mark.parametrize("block", of("bash"), ids=lambda block: f"{block.page.stem}:{block.line}")
def test_shell(block, place, hub, folders_of_evaluations):
    write_recipe_of(block.page, place)
    for words in commands_in(block.text):
        folders_of_evaluations(words)
        check(words)


def write_recipe_of(page, place):
    """The files of a recipe that a page shows: `yaml` blocks that begin with `# FOLDER/STAGE.yaml`."""
    for block in of("yaml", page):
        if named := re.match(r"# (\w+/\w+\.yaml)\n", block.text):
            (place / named[1]).parent.mkdir(exist_ok=True)
            (place / named[1]).write_text(block.text)


@pytest.fixture
def folders_of_evaluations(evaluated, place):
    """A function that makes the folders exist that `rlsp compare` and `rlsp eval --rescore` read."""

    def make(words):
        if words[:2] == ["rlsp", "compare"]:
            for word in (word for word in words[2:] if not word.startswith("-")):
                Path(word).parent.mkdir(parents=True, exist_ok=True)
                if not Path(word).exists():
                    Path(word).symlink_to(evaluated)

    return make


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory, taught_folder):
    """A complete evaluation: two problems, two completions each."""
    from trl_rlsp.cli import main

    folder = tmp_path_factory.mktemp("evaluation")
    problems = folder / "problems.jsonl"
    problems.write_text('{"problem": "8 1 9 : 72", "answer": "72"}\n{"problem": "1 2 : 3", "answer": "3"}\n')
    arguments = ["--model_name_or_path", taught_folder, "--dataset", problems, "--num_samples", "2"]
    arguments += ["--max_new_tokens", "16", "--output_dir", folder / "out", "--dtype", "float32"]
    assert main(["eval", *map(str, arguments)]) == 0
    return folder / "out"


class TestYaml:
    @pytest.mark.parametrize("block", of("yaml"), ids=lambda block: f"{block.page.stem}:{block.line}")
    def test_parses(self, block, place):
        assert self.stage_of(block.text, place)

    def test_a_field_that_does_not_exist_is_noticed(self, place):
        with pytest.raises(AssertionError, match="no stage has all of length_c, lenght"):
            self.stage_of("length_c: 1000\nlenght: 2\n", place)

    def stage_of(self, text, place):
        """The settings that the YAML gives, of the first kind that has all its fields."""
        from trl import ModelConfig

        from trl_rlsp import RLSPGRPOConfig, RLSPSFTConfig
        from trl_rlsp.pipeline import RoundSettings
        from trl_rlsp.stages import arguments, parse_stage

        given = yaml.safe_load(text)
        kinds = [
            (arguments.ProblemArguments, arguments.RewardArguments, RLSPGRPOConfig, ModelConfig),
            (arguments.DemonstrationArguments, RLSPSFTConfig, ModelConfig),
            (arguments.EvaluationArguments,),
            (RoundSettings,),
        ]
        for kind in kinds:
            if set(given) <= {field.name for part in kind for field in dataclasses.fields(part)} | {"env"}:
                (place / "stage.yaml").write_text(text)
                cpu = ["--bf16", "False", "--use_cpu", "True"] if ModelConfig in kind else []
                return parse_stage(kind, ["--config", "stage.yaml", *cpu], "rlsp")
        raise AssertionError(f"no stage has all of {', '.join(given)}")


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
class TestPage:
    def test_each_block_says_what_it_is(self, page):
        for block in (block for block in BLOCKS if block.page == page):
            assert block.language in LANGUAGES, f"{block.place} is {block.language!r}, not one of {sorted(LANGUAGES)}"

    def test_no_code_by_indentation_alone(self, page):
        assert indented_code(page.read_text(encoding="utf-8")) == []

    def test_commands_in_prose_exist(self, page):
        from trl_rlsp.cli import COMMANDS

        assert commands_named(page.read_text(encoding="utf-8")) <= set(COMMANDS) | {"recipes"}

    def test_json(self, page):
        for block in of("json", page):
            json.loads(block.text)


USAGE = re.compile(r"rlsp \w+ .*(\[|[A-Z]{3})")
SYNOPSES = [(block, line) for block in of("text") for line in block.text.splitlines() if USAGE.match(line)]


@pytest.mark.parametrize(("block", "line"), SYNOPSES, ids=[line.split()[1] for _, line in SYNOPSES])
def test_synopsis(block, line):
    """What `text` shows of a command's usage is in its help; words in capitals stand for something."""
    shown = help_of(line.split()[1])
    for option in set(re.findall(r"--[a-z_-]+", line)):
        assert option in shown, f"{block.place}: {option}"


class TestThatTheseTestsCanFail:
    def test_a_block_that_raises(self):
        (block,) = blocks_in(Path("page.md"), "text\n\n```python\nassert 1 == 2\n```\n")
        assert (block.line, block.not_run) == (4, None)
        with pytest.raises(AssertionError):
            exec(block.text, {})

    def test_the_mark(self):
        text = "<!-- not run: wants two GPUs -->\n\n```bash\nmake fire\n```\n\n```bash\nmake\n```\n"
        assert [block.not_run for block in blocks_in(Path("page.md"), text)] == ["wants two GPUs", None]

    def test_code_by_indentation(self):
        assert indented_code("text\n\n    rlsp run x\n\n- point\n\n    - within it\n") == [3]

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("rlsp fly", "no command 'fly'"),
            ("rlsp grpo --config grpo.yaml --lenght_c 3", "--lenght_c"),
            ("rlsp sft --config nowhere.yaml", "nowhere.yaml"),
            ("curl example.org", "nothing here can check 'curl'"),
            ("pip install 'trl-rlsp[everything]'", "the extras are"),
            ("python benchmarks/nothing.py", "does not exist"),
            ("python benchmarks/decoding.py --nothing", "has no --nothing"),
            ("accelerate launch --config_file no.yaml -m trl_rlsp grpo --config grpo.yaml", "no.yaml"),
        ],
    )
    def test_a_shell_line(self, line, message, place):
        (words,) = commands_in(line)
        with pytest.raises(Exception, match=re.escape(message)):
            check(words)

    def test_a_target_that_does_not_exist(self, place):
        with pytest.raises(Exception, match="returned non-zero exit status 2"):
            check(["make", "coffee"])
