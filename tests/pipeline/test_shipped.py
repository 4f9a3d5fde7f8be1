"""The recipes that come with the package: found, named, copied, and what a bare name means to `rlsp run`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from trl_rlsp.errors import ConfigError, SourceError
from trl_rlsp.pipeline import (
    companion_names,
    copy_recipe,
    description_of,
    find_recipe,
    parse_run,
    plan,
    recipe_names,
    recipes_folder,
    refuse_changed,
)

ROOT = Path(__file__).resolve().parents[2]


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

    def test_every_folder_says_what_it_is_for_and_the_readme_says_the_same(self):
        rows = re.findall(
            r"^\| `([^`/]+)` \| (.+?) \| (.*?) ?\|$", (ROOT / "recipes/README.md").read_text(), re.MULTILINE
        )
        assert [name for name, *_ in rows] == sorted(
            [*recipe_names(), *companion_names()], key=lambda name: description_of(name).place
        )
        for name, title, hardware in rows:
            assert (re.sub(r" \(\[.*\)", "", title), hardware) == (
                description_of(name).title,
                description_of(name).hardware,
            )

    def test_a_recipe_may_say_nothing(self, place):
        assert description_of(place).processes == 1
        (place / "recipe.yaml").write_text("titel: x\n")
        with pytest.raises(ConfigError, match="title, hardware, processes, place, got 'titel'"):
            description_of(place)

    def test_a_package_without_its_recipes(self, place, monkeypatch):
        package = place / "a" / "b" / "trl_rlsp"
        monkeypatch.setattr("trl_rlsp.pipeline._shipped.__file__", str(package / "pipeline" / "shipped.py"))
        with pytest.raises(
            SourceError, match=r"the recipes are missing from .*trl_rlsp/recipes: install trl-rlsp again"
        ):
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
        with pytest.raises(SourceError, match=r"did you mean 'quickstart'\?\); shipped are quickstart, qwen"):
            find_recipe(Path("quikstart"))

    def test_a_name_like_no_other(self):
        with pytest.raises(SourceError, match=r"is neither a folder nor a shipped recipe; shipped are quickstart"):
            find_recipe(Path("zzz"))

    def test_what_is_shipped_but_no_recipe_cannot_be_run(self):
        with pytest.raises(SourceError, match=r"accelerate' is not a recipe folder: it has no grpo\.yaml"):
            parse_run(["accelerate"])


class TestRunByName:
    def test_reads_the_package_and_writes_under_the_working_directory(self):
        run = parse_run(["quickstart", "--seed", "2"])
        steps = plan(run)
        assert run.output == Path("runs/quickstart-seed2")
        assert {step.folder.parts[:2] for step in steps} == {("runs", "quickstart-seed2")}
        assert steps[0].model == str(ROOT / "recipes" / "quickstart" / "base")
        assert all(step.config.is_file() for step in steps)

    def test_goes_on_with_a_run_of_the_same_recipe_from_elsewhere(self, place, monkeypatch):
        """The model's folder has another name from there, and it is the same one."""
        monkeypatch.chdir(ROOT)
        output = ["--output_dir", str(place / "run")]
        before = plan(parse_run(["recipes/quickstart", *output]))
        before[0].remember()
        monkeypatch.chdir(place)
        after = plan(parse_run(["quickstart", *output]))
        assert after[0].model != before[0].model
        refuse_changed(after)
        (place / "base").mkdir()
        with pytest.raises(ConfigError, match="was made with other settings"):
            refuse_changed(plan(parse_run(["quickstart", *output, "--model", str(place / "base")])))


class TestCopy:
    def test_every_file(self, place):
        assert copy_recipe("quickstart") == Path("recipes/quickstart")
        copied, shipped = place / "recipes" / "quickstart", ROOT / "recipes" / "quickstart"
        assert files_of(copied) == files_of(shipped) >= {"sft.yaml", "base/model.safetensors"}
        assert (copied / "base/config.json").read_bytes() == (shipped / "base/config.json").read_bytes()

    def test_to_a_folder_that_can_be_run(self):
        assert copy_recipe("quickstart", Path("mine/first")) == Path("mine/first")
        run = parse_run(["mine/first"])
        assert run.output == Path("runs/first-seed0")
        assert plan(run)[0].model == "mine/first/base"

    def test_a_folder_that_goes_with_recipes(self):
        assert (copy_recipe("accelerate") / "ddp.yaml").is_file()

    @pytest.mark.parametrize("name", ["quickstar", "../recipes", "README.md", "", "quickstart/base"])
    def test_nothing_else_can_be_copied(self, place, name):
        with pytest.raises(SourceError, match=r"a shipped recipe.*; shipped are quickstart, .*, accelerate$"):
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
