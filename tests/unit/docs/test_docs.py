"""README, docs and the plugins' READMEs agree with the code, and their links work."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

import sidecar.plugin
from sidecar.config import settable
from sidecar.plugin import hooks
from tests.unit.docs.tables import PAGES, ROOT, TABLES, own_settings, regenerated, sections

OTHER_VARIABLES: Final = {
    "SIDECAR_API",  # what plugins declare
    "SIDECAR_CANTALOUPE_CONFIG",
    "SIDECAR_CONFIG",
    "SIDECAR_TEST_TURBOJPEG",  # for the tests of turbojpeg
}
"""Words that look like settings and are something else; those of examples begin with SIDECAR_SHELF."""


def signatures() -> Mapping[str, Callable[..., object]]:
    """Return every hook by its signature."""
    functions = inspect.getmembers(hooks, lambda member: hasattr(member, "sidecar_spec"))
    return {f"{name}{str(inspect.signature(hook)).replace(chr(39), '')}": hook for name, hook in functions}


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def links(page: Path) -> Iterator[str]:
    """Return the relative links of a page, those in code left out."""
    text = re.sub(r"^```.*?^```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    yield from (link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"\w+:", link))


def name_of(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_tables(page: Path) -> None:
    """Generated tables of a page are what the code says: every setting, metric, reason, and none that is gone."""
    assert page.read_text(encoding="utf-8") == regenerated(page), "run: python tests/unit/docs/tables.py"


def test_every_table_has_a_place() -> None:
    """Each table is on a page, and every plugin with settings has them in its README."""
    text = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").rglob("*.md"))
    assert [name for name in TABLES if f"<!-- {name} -->" not in text] == []
    plugins = [page for page in ROOT.glob("plugins/*/README.md") if own_settings(page)]
    assert [name_of(page) for page in plugins if "<!-- settings -->" not in page.read_text(encoding="utf-8")] == []


def test_words_of_tables() -> None:
    """The tables hold what they are for: a setting of the core and of a plugin, a metric, a reason, a module."""
    text = "".join(make() for make in TABLES.values())
    for word in (
        *("SIDECAR_MAX_PIXELS", "SIDECAR_HTTP_TIMEOUT", "SIDECAR_S3_TIMEOUT", "SIDECAR_PATIENCE"),
        *("sidecar_handovers_total", "source-changed", "sidecar/render/plan.py"),
    ):
        assert word in text


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links(page: Path) -> None:
    """A relative link leads to a file or folder of this repository, and its anchor to a heading there."""
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_variables(page: Path) -> None:
    """Every variable that a page names is a setting, or was one."""
    kinds = sections()
    known = {kind.variable(name) for kind in kinds for name in (*settable(kind), *kind.renamed)}
    named = set(re.findall(r"\bSIDECAR_[A-Z0-9_]*[A-Z0-9]\b", page.read_text(encoding="utf-8")))
    examples = ("SIDECAR_SHELF", "SIDECAR_GIF")
    assert {name for name in named - known - OTHER_VARIABLES if not name.startswith(examples)} == set()


def test_hooks() -> None:
    """The guide has a heading for each hook, its exact signature, and none for a hook that is gone."""
    text = (ROOT / "docs/plugins/index.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^### `(register_.+)`$", text, re.MULTILINE)) == {*signatures()}


def test_public_names() -> None:
    """Every name that the guide imports from the plugin API is one that it exports."""
    text = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs/plugins").glob("*.md"))
    imported = re.findall(r"from sidecar\.plugin import (?:\(([^)]*)\)|(.+))", text)
    names = {name.strip() for pair in imported for name in "".join(pair).split(",") if name.strip()}
    assert names
    assert names <= {*sidecar.plugin.__all__}


def test_readme_is_short() -> None:
    """The README has at most 150 lines: the rest is in docs."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 150


def test_glossary() -> None:
    """Every word of the glossary is used where it says, and the words are in order."""
    text = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \*\*(.+?)\*\* \|.*?\]\((.+?)\)", text, re.MULTILINE)
    words = [word for word, _ in rows]
    assert len(words) > 30
    assert words == sorted(words)
    for word, path in rows:
        used = (ROOT / "docs" / path).read_text(encoding="utf-8").lower()
        assert re.search(re.sub(r"[- ]", "[-_ ]?\\\\s*", word), used), f"{word} is not in {path}"
