"""The recipes that come with the package: found, named, copied, and what a bare name means to `rlsp run`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from trl_rlsp.errors import ConfigError, SourceError
from trl_rlsp.pipeline.pipeline import parse_run, plan, refuse_changed, remember
from trl_rlsp.pipeline.shipped import (
    companion_names,
    copy_recipe,
    find_recipe,
    portable,
    recipe_names,
    recipe_titles,
    recipes_folder,
)

ROOT = Path(__file__).resolve().parents[2]
SEED = {command: ["--seed", "0"] for command in ("sft", "grpo", "eval")}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if "__pycache__" not in path.parts}


class TestNames:
    def test_the_folder_of_the_checkout(self):
        assert recipes_folder() == ROOT / "recipes"

    def test_every_folder_is_a_recipe_or_goes_with_one(self):
        folders = [path.name for path in (ROOT / "recipes").iterdir() if path.is_dir() and path.name != "__pycache__"]
        assert sorted(recipe_names() + companion_names()) == sorted(folders)
        assert companion_names() == ["ablations", "accelerate"]

    def test_every_folder_has_a_title_and_no_title_is_of_nothing(self):
        titles = recipe_titles()
        assert set(titles) == {*recipe_names(), *companion_names()}
        assert all(title and "](" not in title for title, _ in titles.values())

    def test_a_package_without_its_recipes(self, place, monkeypatch):
        package = place / "a" / "b" / "trl_rlsp"
        monkeypatch.setattr("trl_rlsp.pipeline.shipped.__file__", str(package / "pipeline" / "shipped.py"))
        with pytest.raises(SourceError, match=r"not where they belong, in .*trl_rlsp/recipes: install trl-rlsp again"):
            recipes_folder()


class TestFindRecipe:
    def test_a_bare_name(self):
        assert find_recipe(Path("quickstart")) == ROOT / "recipes" / "quickstart"

    def test_a_folder_of_that_name_wins(self, place):
        (place / "recipes" / "quickstart").mkdir(parents=True)
        assert find_recipe(Path("quickstart")) == Path("recipes/quickstart")
        (place / "quickstart").mkdir()
        assert find_recipe(Path("quickstart")) == Path("quickstart")

    def test_a_path_is_not_looked_up(self):
        assert find_recipe(Path("somewhere/quickstart")) == Path("somewhere/quickstart")

    def test_a_typo(self):
        with pytest.raises(SourceError, match=r"did you mean 'quickstart'\?\); the shipped ones are quickstart, qwen"):
            find_recipe(Path("quikstart"))

    def test_a_name_like_no_other(self):
        with pytest.raises(SourceError, match=r"no recipe of that name is shipped; the shipped ones are quickstart"):
            find_recipe(Path("zzz"))

    def test_what_is_shipped_but_no_recipe_cannot_be_run(self):
        with pytest.raises(SourceError, match=r"accelerate' is no recipe folder: it has no grpo\.yaml"):
            parse_run(["accelerate"])


class TestRunByName:
    def test_reads_the_package_and_writes_under_the_working_directory(self):
        recipe, output, overrides = parse_run(["quickstart", "--seed", "2"])
        stages = plan(recipe, output, overrides)
        assert output == Path("runs/quickstart-seed2")
        assert {stage.folder.parts[:2] for stage in stages} == {("runs", "quickstart-seed2")}
        assert stages[0].model == str(ROOT / "recipes" / "quickstart" / "base")
        assert all(stage.config.is_file() for stage in stages)

    def test_goes_on_with_a_run_of_the_same_recipe_from_the_root(self, place, monkeypatch):
        """The model's folder has another name from there, and it is the same one."""
        monkeypatch.chdir(ROOT)
        before = plan(Path("recipes/quickstart"), place / "run", SEED)
        assert before[0].model == "recipes/quickstart/base"
        remember(before[0])
        monkeypatch.chdir(place)
        after = plan(find_recipe(Path("quickstart")), place / "run", SEED)
        assert after[0].model != before[0].model
        refuse_changed(after[0])
        with pytest.raises(ConfigError, match="was started with other settings"):
            refuse_changed(dataclasses.replace(after[0], model=str(place / "base")))


class TestPortable:
    def test_a_folder_of_the_recipes(self):
        assert portable(str(recipes_folder())) == "recipes"

    @pytest.mark.parametrize("text", ["Qwen/Qwen2.5-0.5B-Instruct", "runs/a/sft", "/elsewhere/recipes/quickstart/base"])
    def test_anything_else(self, text):
        assert portable(text) == text


class TestCopy:
    def test_every_file(self, place):
        assert copy_recipe("quickstart") == Path("recipes/quickstart")
        copied, shipped = place / "recipes" / "quickstart", ROOT / "recipes" / "quickstart"
        assert files_of(copied) == files_of(shipped) >= {"sft.yaml", "base/model.safetensors"}
        assert (copied / "base/config.json").read_bytes() == (shipped / "base/config.json").read_bytes()

    def test_to_a_folder_that_can_be_run(self):
        assert copy_recipe("quickstart", Path("mine/first")) == Path("mine/first")
        recipe, output, overrides = parse_run(["mine/first"])
        assert output == Path("runs/first-seed0")
        assert plan(recipe, output, overrides)[0].model == "mine/first/base"

    def test_a_folder_that_goes_with_recipes(self):
        assert (copy_recipe("accelerate") / "ddp.yaml").is_file()

    @pytest.mark.parametrize("name", ["quickstar", "../recipes", "README.md", "", "quickstart/base"])
    def test_nothing_else_can_be_copied(self, place, name):
        with pytest.raises(SourceError, match=r"is shipped.*; there are quickstart, .*, accelerate$"):
            copy_recipe(name)
        assert list(place.iterdir()) == []

    def test_nothing_is_overwritten(self, place):
        (place / "mine").write_text("work of days")
        (place / "empty").mkdir()
        for target in (Path("mine"), Path("empty")):
            with pytest.raises(ConfigError, match=r"exists and is not overwritten; name another folder with --to DIR"):
                copy_recipe("quickstart", target)
        assert (place / "mine").read_text() == "work of days"
        assert list((place / "empty").iterdir()) == []

    def test_a_place_that_cannot_be_written(self, place):
        (place / "file").write_text("")
        with pytest.raises(ConfigError, match=r"cannot write the copy 'file/inside': .*name another folder with --to"):
            copy_recipe("quickstart", Path("file/inside"))
