"""What the wheel and the sdist hold, and that the wheel's recipes can be used from it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from archives import faults, names_in, recipe_files

from trl_rlsp import __version__

ROOT = Path(__file__).resolve().parents[2]


class TestContent:
    def test_the_wheel_is_whole_and_holds_nothing_else(self, wheel):
        assert faults(wheel, ROOT, __version__) == []

    def test_so_is_the_sdist(self, sdist):
        assert faults(sdist, ROOT, __version__) == []

    def test_the_wheel_holds_every_module_and_recipe(self, wheel):
        modules = {f"trl_rlsp/{path.relative_to(ROOT / 'src/trl_rlsp')}" for path in (ROOT / "src").rglob("*.py")}
        recipes = {f"trl_rlsp/recipes/{name}" for name in recipe_files(ROOT)}
        assert {name for name in names_in(wheel) if "__pycache__" not in name} >= modules | recipes

    def test_the_model_of_the_quickstart_is_the_same(self, wheel):
        name = "recipes/quickstart/base/model.safetensors"
        with zipfile.ZipFile(wheel) as archive:
            assert archive.read(f"trl_rlsp/{name}") == (ROOT / name).read_bytes()

    def test_the_readme_is_the_description(self, wheel):
        with zipfile.ZipFile(wheel) as archive:
            metadata = archive.read(f"trl_rlsp-{__version__}.dist-info/METADATA").decode()
        assert "Description-Content-Type: text/markdown" in metadata
        assert metadata.endswith((ROOT / "README.md").read_text(encoding="utf-8"))


def test_links_of_the_readme_become_absolute_where_the_repository_is_named(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from hatch_build import with_absolute_links

    text = "[a](docs/a.md) ![b](docs/b.png) [c](https://c.org/d) [e](#f) [g](LICENSE)"
    assert with_absolute_links(text, "https://host/me/it/") == (
        "[a](https://host/me/it/blob/main/docs/a.md) ![b](https://host/me/it/raw/main/docs/b.png) "
        "[c](https://c.org/d) [e](#f) [g](https://host/me/it/blob/main/LICENSE)"
    )


class TestFaults:
    @pytest.fixture
    def changed(self, wheel, tmp_path):
        """Write the wheel without some names and with others."""

        def write(without=(), extra=()):
            path = tmp_path / wheel.name
            with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
                for name in old.namelist():
                    if name not in without:
                        new.writestr(name, old.read(name))
                for name in extra:
                    new.writestr(name, "x")
            return path

        return write

    @pytest.mark.parametrize(
        "name",
        [
            "trl_rlsp/recipes/quickstart/base/model.safetensors",
            "trl_rlsp/py.typed",
            f"trl_rlsp-{__version__}.dist-info/licenses/LICENSE",
        ],
    )
    def test_a_file_that_is_missing(self, changed, name):
        assert faults(changed(without=[name]), ROOT, __version__) == [f"lacks {name}"]

    @pytest.mark.parametrize(
        "name",
        [
            "trl_rlsp/tests/test_a.py",
            "trl_rlsp/__pycache__/cli.cpython-311.pyc",
            "trl_rlsp/recipes/runs/quickstart-seed0/sft/stage.json",
            "trl_rlsp/recipes/quickstart/.cache",
            "trl_rlsp/.ipynb_checkpoints/a.py",
        ],
    )
    def test_a_file_that_is_there_by_mistake(self, changed, name):
        assert faults(changed(extra=[name]), ROOT, __version__) == [f"holds the stray file {name}"]

    def test_a_second_package(self, changed):
        assert faults(changed(extra=["recipes/a.yaml"]), ROOT, __version__) == [
            "would install recipes/a.yaml beside the package"
        ]

    def test_too_large(self, wheel, monkeypatch):
        monkeypatch.setattr("archives.LARGEST", 1000)
        (fault,) = faults(wheel, ROOT, __version__)
        assert fault == f"has {wheel.stat().st_size} bytes, more than 1000"


@pytest.fixture(scope="module")
def rlsp(wheel, tmp_path_factory):
    """Python with the wheel, in a working directory outside the checkout: (status, output, errors, place).

    A wheel is a folder of Python files: unpacked and put first, it is as good as installed.
    """
    place = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place / "packages")
    (place / "work").mkdir()

    def run(*code):
        done = subprocess.run(
            [sys.executable, *code],
            cwd=place / "work",
            env={**os.environ, "PYTHONPATH": str(place / "packages"), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return done.returncode, done.stdout, done.stderr, place

    return run


class TestUse:
    def test_recipes(self, rlsp):
        code, shown, _, _ = rlsp("-m", "trl_rlsp", "recipes")
        assert code == 0
        assert shown.splitlines()[1].startswith("quickstart ")

    def test_copy(self, rlsp):
        code, shown, _, place = rlsp("-m", "trl_rlsp", "recipes", "copy", "quickstart", "--to", "mine")
        assert (code, shown.splitlines()[0]) == (0, "quickstart copied to mine")
        assert {path.name for path in (place / "work/mine").iterdir()} >= {"sft.yaml", "grpo.yaml", "eval.yaml", "base"}

    def test_run_finds_the_recipe_and_writes_elsewhere(self, rlsp):
        code, shown, error, place = rlsp(
            "-c",
            "from trl_rlsp.pipeline import parse_run, plan\n"
            "stage = plan(parse_run(['quickstart']))[0]\n"
            "print(stage.model, stage.config, stage.folder, sep='\\n')",
        )
        assert code == 0, error
        model, config, folder = shown.splitlines()
        recipe = place.resolve() / "packages/trl_rlsp/recipes/quickstart"
        assert (model, config, folder) == (
            str(recipe / "base"),
            str(recipe / "eval.yaml"),
            "runs/quickstart-seed0/eval_start",
        )
