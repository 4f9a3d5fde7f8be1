"""The parts of `scripts/check_release.py` that need neither network nor an installation."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import check_release
import pytest
from check_release import ReleaseError, check_versions, contents, readme_example, run, shortened, show

from trl_rlsp import __version__
from trl_rlsp.stages import read_yaml

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """The files that hold a version, in a folder that the script takes for the checkout."""
    for name in ("src/trl_rlsp/__init__.py", "CITATION.cff"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"))
    (tmp_path / "CHANGELOG.md").write_text("## [Unreleased]\n\n## [9.8.7] - 2030-01-01\n")
    monkeypatch.setattr(check_release, "ROOT", tmp_path)
    return tmp_path


class TestVersions:
    def test_those_of_this_checkout_agree(self):
        version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
        assert version == __version__
        check_versions(version, None)

    @pytest.mark.parametrize("name", ["src/trl_rlsp/__init__.py", "CITATION.cff"])
    def test_one_that_differs(self, checkout, name):
        path = checkout / name
        path.write_text(path.read_text().replace(__version__, "9.9.9"))
        with pytest.raises(ReleaseError, match=rf"{name} has version 9\.9\.9, pyproject\.toml has {__version__}"):
            check_versions(__version__, None)

    def test_a_tag(self, checkout):
        for name in ("src/trl_rlsp/__init__.py", "CITATION.cff"):
            path = checkout / name
            path.write_text(path.read_text().replace(__version__, "9.8.7"))
        check_versions("9.8.7", "v9.8.7")
        with pytest.raises(ReleaseError, match=r"the tag v9\.8 does not name the version 9\.8\.7"):
            check_versions("9.8.7", "v9.8")

    def test_a_tag_without_a_section_in_the_changelog(self, checkout):
        with pytest.raises(ReleaseError, match=rf"CHANGELOG\.md has no section \[{re.escape(__version__)}\]"):
            check_versions(__version__, f"v{__version__}")


def test_the_readme_example_prints_what_the_check_expects(capsys):
    """A right answer is worth 1 and a little for its reasoning, a wrong one without reasoning nothing."""
    exec(compile(readme_example(), "README.md", "exec"), {})
    assert re.fullmatch(r"\[1\.0\d+, 0\.0\]\n", capsys.readouterr().out)


class TestShortened:
    def test_overrides_fields_that_the_recipe_has(self):
        """So that a renamed field is noticed here and not on the day of a release."""
        arguments = shortened()
        fields = [argument.removeprefix("--").split(".") for argument in arguments[::2]]
        for stage, field in fields:
            assert field in read_yaml(ROOT / f"recipes/quickstart/{stage}.yaml"), (stage, field)

    def test_takes_fewer_of_the_same_problems(self):
        arguments = shortened()
        given = dict(zip(arguments[::2], arguments[1::2], strict=True))
        assert given["--eval.dataset"].endswith("&seed=1000000&size=8")
        assert given["--sft.dataset"] == given["--grpo.dataset"]
        assert given["--sft.dataset"].endswith("&seed=1&size=60")


class TestRun:
    def test_output(self, tmp_path):
        assert run([sys.executable, "-c", "print('done')"], cwd=tmp_path, capture=True) == "done\n"

    def test_this_environment_has_no_say(self, tmp_path, monkeypatch):
        monkeypatch.setenv("PYTHONPATH", "somewhere")
        assert run([sys.executable, "-c", "import os; print('PYTHONPATH' in os.environ)"], capture=True) == "False\n"

    def test_a_failure(self, tmp_path):
        with pytest.raises(ReleaseError, match="ended with status 3"):
            run([sys.executable, "-c", "raise SystemExit(3)"], cwd=tmp_path)

    def test_something_else_than_expected(self, tmp_path):
        with pytest.raises(ReleaseError, match="did not print 'two' but:\none"):
            show([sys.executable, "-c", "print('one')"], tmp_path, expect="two")


def test_contents_notice_a_change(tmp_path):
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "a.py").write_text("1")
    before = contents(tmp_path)
    (tmp_path / "__pycache__" / "a.pyc").write_text("x")
    assert contents(tmp_path) == before
    (tmp_path / "a.py").write_text("2")
    assert set(contents(tmp_path)) == {"a.py"}
    assert contents(tmp_path) != before
