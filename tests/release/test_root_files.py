"""Workflows, hooks, citation, changelog and guide say what is there: each command and each file they name exists."""

from __future__ import annotations

import re
import shlex
from datetime import date
from pathlib import Path

import pytest
import yaml

from trl_rlsp import __version__

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))


def read(path):
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def unknown_commands(text, root=ROOT):
    """Lines of a `run:` that are neither `make TARGET` nor a file of the repository that can be executed."""
    wrong = []
    for line in filter(None, map(str.strip, text.splitlines())):
        first, *rest = shlex.split(line)
        target = next((word for word in rest if "=" not in word and not word.startswith("-")), None)
        known = target in TARGETS if first == "make" else (root / first).is_file()
        if not known:
            wrong.append(line)
    return wrong


def steps_of(path):
    """The steps of all jobs of a workflow."""
    return [step for job in read(path)["jobs"].values() for step in job["steps"]]


class TestWorkflows:
    def test_there_are_two(self):
        assert [path.name for path in WORKFLOWS] == ["ci.yml", "release.yml"]

    @pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
    def test_every_command_exists(self, path):
        commands = [step["run"] for step in steps_of(path) if "run" in step]
        assert commands
        assert [line for command in commands for line in unknown_commands(command)] == []

    def test_one_that_does_not_is_noticed(self):
        text = "make test\nmake no-such-target\n.ci/run\nscripts/none.py --all\nmake dist ARGS='--tag v1'"
        assert unknown_commands(text) == ["make no-such-target", "scripts/none.py --all"]

    @pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
    def test_every_job_has_what_a_job_needs(self, path):
        workflow = read(path)
        assert {"push"} <= set(workflow[True])  # YAML 1.1 reads the key `on` as true
        assert workflow["permissions"] == {"contents": "read"}
        for name, job in workflow["jobs"].items():
            assert job["runs-on"] == "ubuntu-24.04"
            assert set(job.get("needs", "").split()) <= set(workflow["jobs"]), name
            for step in job["steps"]:
                assert ("run" in step) != ("uses" in step), step
                assert re.fullmatch(r"[\w.-]+/[\w.-]+@(v\d+|release/v\d+)", step.get("uses", "a/b@v1")), step

    def test_what_ci_covers(self):
        jobs = read(".github/workflows/ci.yml")["jobs"]
        commands = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
        assert commands == {
            "gate": [".ci/run"],
            "lowest": ["make test-lowest"],
            "dist": ["make dist"],
            "docs": ["make docs"],
            "slow": ["make test-slow"],
            "trl": ["make test-trl TRL=./trl-source INSTALL_TRL=yes"],
        }
        lowest = re.search(r"^LOWEST_TRL := (.+)$", MAKEFILE, re.MULTILINE)[1]
        highest = re.search(r"^trl==(.+)$", (ROOT / "constraints.txt").read_text(encoding="utf-8"), re.MULTILINE)[1]
        assert jobs["trl"]["strategy"]["matrix"]["trl"] == [f"v{lowest}", f"v{highest}", "main"]
        text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        classified = re.findall(r"Programming Language :: Python :: (3\.\d+)", text)
        for name in ("gate", "lowest"):
            assert jobs[name]["strategy"]["matrix"]["python"] == classified

    def test_the_lowest_versions_are_those_that_the_package_asks_for(self):
        trl = re.search(r"^LOWEST_TRL := (.+)$", MAKEFILE, re.MULTILINE)[1]
        lowest = re.search(r"^LOWEST := (.+)$", MAKEFILE, re.MULTILINE)[1].replace("$(LOWEST_TRL)", trl)
        asked = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        assert {"trl", "transformers", "peft", "bitsandbytes"} <= {one.partition("==")[0] for one in lowest.split()}
        for one in lowest.split():
            assert re.search(rf'"{one.replace("==", ">=")}["; ]', asked), one

    def test_only_publishing_may_ask_for_a_token(self):
        jobs = read(".github/workflows/release.yml")["jobs"]
        assert {name: job.get("permissions") for name, job in jobs.items()} == {
            "build": None,
            "publish": {"id-token": "write"},
        }
        assert jobs["publish"]["needs"] == "build"


def test_hooks_have_the_versions_of_the_tests():
    pinned = dict(re.findall(r"^([\w-]+)==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE))
    (local,) = read(".pre-commit-config.yaml")["repos"]
    hooks = {hook["id"]: hook for hook in local["hooks"]}
    assert list(hooks) == ["ruff-check", "ruff-format", "mypy"]
    for name in ("ruff-check", "ruff-format"):
        assert hooks[name]["additional_dependencies"] == [f"ruff=={pinned['ruff']}"]
    assert (hooks["mypy"]["language"], "mypy" in pinned) == ("system", True)  # what the environment holds


class TestCitation:
    def test_what_the_format_requires(self):
        """The required keys of Citation File Format 1.2.0, and of a reference in it."""
        content = read("CITATION.cff")
        assert content["cff-version"] == "1.2.0"
        assert content["type"] == "software"
        assert {"message", "title", "authors"} <= set(content)
        for part in (content, *content["references"]):
            assert part["title"]
            assert all(set(author) in ({"name"}, {"family-names", "given-names"}) for author in part["authors"])
        assert (content["version"], content["license"]) == (__version__, "Apache-2.0")

    def test_the_paper(self):
        (paper,) = read("CITATION.cff")["references"]
        assert paper["type"] == "article"
        assert paper["identifiers"][0]["type"] == "other"
        assert paper["url"] == "https://arxiv.org/abs/2502.06773"
        from trl_rlsp import RLSPGRPOTrainer

        card = RLSPGRPOTrainer._paper
        assert card["title"] == paper["title"]
        names = [f"{author['given-names']} {author['family-names']}" for author in paper["authors"]]
        assert f"author = {{{' and '.join(names)}}}" in card["citation"]


class TestChangelog:
    TEXT = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")

    def test_sections(self):
        sections = re.findall(r"^## (.+)$", self.TEXT, re.MULTILINE)
        assert sections[0] == "[Unreleased]"
        for section in sections[1:]:
            version, day = re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\S+)", section).groups()
            assert version
            assert date.fromisoformat(day)
        kinds = re.findall(r"^### (.+)$", self.TEXT, re.MULTILINE)
        assert set(kinds) <= {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}

    def test_every_command_and_public_name_is_in_it(self):
        import trl_rlsp
        from trl_rlsp.cli import COMMANDS

        named = {name for found in re.findall(r"`rlsp ([a-z|]+)", self.TEXT) for name in found.split("|")}
        assert set(COMMANDS) <= named
        assert [name for name in trl_rlsp.__all__ if f"`{name}" not in self.TEXT and "Config" not in name] == []


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md"])
class TestGuides:
    def test_links_lead_somewhere(self, name):
        text = (ROOT / name).read_text(encoding="utf-8")
        links = re.findall(r"\]\(([^)#]+)[^)]*\)", text)
        assert links
        assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []

    def test_commands_and_files_exist(self, name):
        text = (ROOT / name).read_text(encoding="utf-8")
        spans = [span for span in re.findall(r"`([^`\n]+)`", text) if " " not in span and "/" in span]
        paths = [span for span in spans if re.fullmatch(r"[\w./-]+", span) and not span.startswith("/")]
        gone = [path for path in paths if not any((base / path).exists() for base in (ROOT, ROOT / "src/trl_rlsp"))]
        assert [path for path in gone if path != "owner/name"] == []
        assert set(re.findall(r"make ([a-z-]+)(?=`|$| +#|  )", text, re.MULTILINE)) <= TARGETS
