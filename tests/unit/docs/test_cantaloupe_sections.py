"""The guide from Cantaloupe leaves out no section of its configuration, and no key."""

from __future__ import annotations

from fnmatch import fnmatchcase

from tests.unit.docs import cantaloupe_sections
from tests.unit.docs.tables import ROOT, sections

GUIDE = (ROOT / "docs" / "migrate" / "cantaloupe.md").read_text(encoding="utf-8")


def test_every_key_has_a_row_of_its_section() -> None:
    """What becomes of each key of the sample is said below its section."""
    rows = [(section, keys.strip("`")) for section, keys, _ in cantaloupe_sections.rows(sections())]
    for section, keys in cantaloupe_sections.sections().items():
        patterns = [pattern for of, pattern in rows if of == section]
        assert [key for key in keys if not any(fnmatchcase(key, pattern) for pattern in patterns)] == [], section


def test_every_section_says_what_to_do() -> None:
    """The table by hand names all sections."""
    by_hand = GUIDE.partition("| section | what you do |")[2].partition("<!-- cantaloupe-sections -->")[0]
    named = [by_hand.find(section) for section in cantaloupe_sections.sections()]
    assert -1 not in named
    assert len(named) > 25


def test_the_sample_is_as_the_takeover_knows_it() -> None:
    """Every key of this sample is among those of the newer one that the takeover is tested with."""
    newer = {*(ROOT / "tests" / "data" / "cantaloupe_keys.txt").read_text(encoding="utf-8").split()}
    assert {key for keys in cantaloupe_sections.sections().values() for key in keys} <= newer
