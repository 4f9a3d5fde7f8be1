"""What can be told of the notebooks without running them: the switch, its values, the outputs that are committed."""

from __future__ import annotations

import re
import sys

import nbformat
import pytest
import yaml
from notebook_files import FOLDER, PATHS, kinds

from trl_rlsp.commands import Eval
from trl_rlsp.stages import parse_grpo, parse_sft, read_yaml

RECIPES = FOLDER.parent / "recipes"
CPU = ["--bf16", "False", "--use_cpu", "True"]
NAMES = [path.name for path in PATHS]

every_notebook = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def code_of(path):
    return [cell.source for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def real(monkeypatch, number):
    """What the switch's cell defines at real size."""
    (path,) = FOLDER.glob(f"{number:02}_*.ipynb")
    monkeypatch.setenv("RLSP_SIZE", "real")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # so that nothing is left behind
    values = {}
    exec(code_of(path)[1], values)
    assert values["SIZE"] == "real"
    return values


def models_of_recipes():
    return {
        read_yaml(path).get("model_name_or_path") for path in RECIPES.glob("*/*.yaml") if path.parent.name[0] != "a"
    }


def test_all_are_here():
    assert [name[:2] for name in NAMES] == ["01", "02", "03", "04", "05", "06", "07"]


@every_notebook
class TestEach:
    def test_is_valid(self, path):
        nbformat.validate(nbformat.read(path, as_version=4))

    def test_one_cell_knows_the_size(self, path):
        first, size, *others = ["SIZE" in source for source in code_of(path)]
        assert (first, size, any(others)) == (False, True, False)

    def test_the_first_cell_installs(self, path):
        assert '%pip install --quiet "trl-rlsp[' in code_of(path)[0]

    def test_begins_with_a_title_that_says_what_the_outputs_are(self, path):
        first = nbformat.read(path, as_version=4).cells[0]
        assert re.match(rf"# {int(path.name[:2])}\. ", first.source)
        assert "tiny size" in first.source

    def test_outputs_are_of_this_code(self, path, execute):
        notebook = nbformat.read(path, as_version=4)
        assert notebook.metadata["trl_rlsp"] == {"size": "tiny", "code": execute.code_hash(notebook)}, "make notebooks"
        counts = [cell.execution_count for cell in notebook.cells if cell.cell_type == "code"]
        assert counts == list(range(1, len(counts) + 1))
        assert sum(map(bool, kinds(notebook.cells))) >= len(counts) - 3

    def test_outputs_are_small_and_clean(self, path):
        assert path.stat().st_size < 300_000
        outputs = [o for cell in nbformat.read(path, as_version=4).cells for o in cell.get("outputs", [])]
        assert not [o for o in outputs if o.output_type == "error" or o.get("name") == "stderr"]
        shown = [{kind: data for kind, data in o.get("data", {}).items() if kind != "image/png"} for o in outputs]
        text = "\n".join(str(o.get("text", "")) for o in outputs) + str(shown)
        assert not re.search(r"(?<![\w.])/(?:tmp|home|root|work|Users)/|Warning|it/s|0x[0-9a-f]{8}", text)


class TestRealSize:
    def test_quickstart_is_the_recipe(self, monkeypatch):
        assert real(monkeypatch, 1)["OVERRIDES"] == []

    def test_rewards_takes_every_attack(self, monkeypatch):
        assert real(monkeypatch, 2)["OF_EACH_KIND"] is None

    def test_llama_is_that_of_the_recipe_in_four_bits(self, monkeypatch):
        values, folder = real(monkeypatch, 3), RECIPES / "llama-3.1-8b-math"
        assert values["MODEL"] == values["HUB_ID"] == read_yaml(folder / "sft.yaml")["model_name_or_path"]
        assert values["SMALLER"] == {"sft": [], "grpo": [], "eval": []}
        overrides = values["ONE_CARD"]
        for parse in (parse_sft, parse_grpo):
            stage = parse.__name__.removeprefix("parse_")
            *_, training, model = parse(["--config", str(folder / f"{stage}.yaml"), *overrides[stage], *CPU])
            assert model.load_in_4bit
            assert model.use_bnb_nested_quant
            assert (model.bnb_4bit_quant_type, model.dtype) == ("nf4", "bfloat16")
        assert not training.use_vllm
        assert training.generation_batch_size % training.num_generations == 0
        settings = Eval.parse(["--config", str(folder / "eval.yaml"), *overrides["eval"]])
        assert (settings.preset, settings.engine) == ("math-500", "transformers")

    def test_qwen_is_launched_as_its_recipe_says(self, monkeypatch):
        values = real(monkeypatch, 4)
        recipe = FOLDER / values["RECIPE"]
        assert read_yaml(recipe)["model_name_or_path"] == "Qwen/Qwen2.5-32B-Instruct"
        flag, accelerate = values["LAUNCH"]
        launch = f"accelerate launch {flag} {accelerate.removeprefix('../')} -m trl_rlsp grpo"
        assert launch in recipe.read_text()
        assert yaml.safe_load((FOLDER / accelerate).read_text())["num_processes"] == values["PROCESSES"]
        *_, training, model = parse_grpo(["--config", str(recipe), *values["OVERRIDES"], *CPU])
        assert model.load_in_4bit
        assert training.output_dir == "../runs/notebook-aime"

    @pytest.mark.parametrize("number", [5, 6])
    def test_small_model_is_one_of_a_recipe(self, monkeypatch, number):
        from trl import GRPOConfig

        values = real(monkeypatch, number)
        assert values["MODEL"] in models_of_recipes()
        assert values["STEPS"] >= 100
        assert values["HARDWARE"].keys() <= set(GRPOConfig.__dataclass_fields__)

    def test_plain_run_has_a_known_data_set(self, monkeypatch):
        assert (
            real(monkeypatch, 5)["PROBLEMS"]["source"] == read_yaml(RECIPES / "qwen2.5-0.5b-gsm8k/grpo.yaml")["dataset"]
        )


def test_own_domain_takes_less_than_60_lines():
    (path,) = FOLDER.glob("06_*.ipynb")
    lines = [line.strip() for source in code_of(path)[2:] for line in source.splitlines()]  # after the switch
    assert 40 < len([line for line in lines if line and not line.startswith("#")]) < 60


class TestExecute:
    def test_hash_is_of_code_alone(self, execute):
        cells = [nbformat.v4.new_code_cell("x = 1"), nbformat.v4.new_markdown_cell("words")]
        notebook = nbformat.v4.new_notebook(cells=cells)
        before = execute.code_hash(notebook)
        notebook.cells[1].source = "other words"
        assert execute.code_hash(notebook) == before
        notebook.cells[0].source = "x = 2"
        assert execute.code_hash(notebook) != before

    def test_what_depends_on_the_machine_goes(self, execute):
        new_output = nbformat.v4.new_output
        cell = nbformat.v4.new_code_cell("x", metadata={"execution": {"iopub.execute_input": "2026-01-01"}}, id="a1b2")
        cell.outputs = [
            new_output("stream", name="stdout", text="ke"),
            new_output("stream", name="stderr", text="Warning: 3 it/s"),
            new_output("stream", name="stdout", text="pt"),
            new_output("display_data", {"image/png": "aW1n", "text/plain": "<Figure>"}, metadata={"width": 3}),
        ]
        notebook = execute.normalized(nbformat.v4.new_notebook(cells=[cell], metadata={"widgets": {}}), "tiny")
        assert (cell.id, cell.metadata) == ("cell-00", {})
        assert [output.get("text") for output in cell.outputs] == ["kept", None]
        assert cell.outputs[1] == {"output_type": "display_data", "data": {"image/png": "aW1n"}, "metadata": {}}
        assert notebook.metadata.keys() == {"kernelspec", "language_info", "trl_rlsp"}

    def test_a_cell_that_fails_is_an_error(self, execute, tmp_path):
        from nbclient.exceptions import CellExecutionError

        broken = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell("import sys\nraise ValueError(sys.executable)")]
        )
        nbformat.write(broken, tmp_path / "broken.ipynb")
        with pytest.raises(CellExecutionError, match="ValueError") as raised:
            execute.execute(tmp_path / "broken.ipynb", tmp_path)
        assert sys.executable in str(raised.value)  # this interpreter's kernel
