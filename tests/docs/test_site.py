"""The site: it builds strictly, needs nothing from elsewhere, and what is broken ends the build."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("material", reason="the site needs pip install --group docs")

ROOT = Path(__file__).parent.parent.parent


def build(config, site):
    """Run MkDocs; the finished process with what it said."""
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--config-file",
        str(config),
        "--site-dir",
        str(site),
    ]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT / "mkdocs.yml", folder)
    assert done.returncode == 0, done.stderr
    return folder


class TestSite:
    def test_has_a_page_for_each_source(self, site):
        sources = {path.relative_to(ROOT / "docs").with_suffix("") for path in (ROOT / "docs").rglob("*.md")}
        assert sources <= {path.relative_to(site).with_suffix("") for path in site.rglob("*.html")}

    def test_loads_nothing_from_elsewhere(self, site):
        """Links lead out; scripts, styles, fonts and images do not."""
        for page in site.rglob("*.html"):
            tags = re.findall(r"<(?:script|link|img|iframe|source)\b[^>]*>", page.read_text(encoding="utf-8"))
            assert [tag for tag in tags if re.search(r"(?:src|href)=\"?(?:https?:)?//", tag)] == [], page
        for style in site.rglob("*.css"):
            assert not re.search(r"(?:url\(|@import )[\"']?(?:https?:)?//", style.read_text(encoding="utf-8")), style

    def test_formulas_are_mathml(self, site):
        method = (site / "method.html").read_text(encoding="utf-8")
        assert method.count('display="block"') >= 3
        assert "$`" not in method
        assert "<mfrac>" in method

    def test_the_first_page_is_the_readmes_first_part(self, site):
        first = (site / "index.html").read_text(encoding="utf-8")
        assert "rlsp_rewards" in first
        assert 'href="evaluation.html"' in first
        assert '<h2 id="commands">' not in first

    def test_docstrings_are_there_with_their_doctests(self, site):
        page = (site / "api" / "rewards.html").read_text(encoding="utf-8")
        assert 'id="trl_rlsp.rewards.suite.RLSPRewards"' in page
        assert "&gt;&gt;&gt;" in page


@pytest.mark.parametrize(
    ("text", "more", "said"),
    [
        ("# A\n\n[b](b.md)\n", {}, "contains a link 'b.md', but the target is not found"),
        ("# A\n\n[b](#b)\n", {}, "contains a link '#b', but there is no such anchor"),
        ("# A\n", {"b.md": "# B\n"}, 'not included in the "nav" configuration'),
        ("# A\n\n::: trl_rlsp.nothing\n", {}, "trl_rlsp.nothing could not be found"),
    ],
    ids=["link", "anchor", "nav", "name"],
)
def test_what_is_broken_ends_the_build(tmp_path, text, more, said):
    (tmp_path / "pages").mkdir()
    for name, content in {"index.md": text, **more}.items():
        (tmp_path / "pages" / name).write_text(content)
    (tmp_path / "src").symlink_to(ROOT / "src")
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    config = f"INHERIT: {ROOT / 'mkdocs.yml'}\ndocs_dir: pages\nhooks: []\nextra_css: []\nnav: [index.md]\n"
    (tmp_path / "mkdocs.yml").write_text(config)
    done = build(tmp_path / "mkdocs.yml", tmp_path / "site")
    assert done.returncode == 1
    assert said in done.stderr
