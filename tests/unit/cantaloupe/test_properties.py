"""Cantaloupe's configuration is read as its own reader does (`config/PropertiesDocument.java` and kin)."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.cantaloupe.properties import Properties, load, parse, variable_of
from sidecar.plugin import StartError

NOWHERE = Path("cantaloupe.properties")


def _properties(text: str, environment: dict[str, str] | None = None) -> Properties:
    return Properties([parse(text, NOWHERE)], environment or {})


@pytest.mark.parametrize(
    "line, key, value",
    [
        ("max_pixels = 5", "max_pixels", "5"),
        ("  max_pixels=5  ", "max_pixels", "5"),
        ("max_pixels : 5", "max_pixels", "5"),
        ("S3Source.endpoint = http://host:9000/", "S3Source.endpoint", "http://host:9000/"),
        ("a:b = c", "a:b", "c"),
        ("prefix = C:\\\\images\\\\", "prefix", "C:\\images\\"),
        ("text = two\\nlines", "text", "two\\nlines"),
        ("prefix = /Straße/ü # no comment", "prefix", "/Straße/ü # no comment"),
        ("prefix = \u00a0x", "prefix", "\u00a0x"),
        ("equation = a=b", "equation", "a=b"),
    ],
)
def test_a_line_is_parted_as_cantaloupe_does(line: str, key: str, value: str) -> None:
    """The first `=`, or else `:`, divides key and value; blanks are removed, runs of backslashes become one."""
    assert parse(line, NOWHERE) == {key: value}


def test_comments_and_empty_lines_say_nothing() -> None:
    """Lines beginning with # or ! and empty ones are left out, and no line continues the one before."""
    assert parse("# a = 1\n  ! b = 2\n\nc = 3\\\nd = 4\n", NOWHERE) == {"c": "3\\", "d": "4"}


@pytest.mark.parametrize("line", ["no separator", "= value", ": value"])
def test_a_line_without_a_key_is_an_error_with_its_number(line: str) -> None:
    """What Cantaloupe refuses to load is refused here, and the line is named."""
    with pytest.raises(StartError, match=r"cantaloupe\.properties:2:"):
        parse(f"a = 1\n{line}", NOWHERE)


def test_of_a_key_given_twice_the_first_that_says_something_counts() -> None:
    """If a key occurs twice, the first value that is not empty counts."""
    assert parse("a =\na = 1\na = 2", NOWHERE) == {"a": "1"}


@pytest.mark.parametrize(
    "text, flag, whole, real",
    [
        ("k = true", True, 7, 0.5),
        ("k = 1", True, 1, 1.0),
        ("k = 0", False, 0, 0.0),
        ("k = TRUE", True, 7, 0.5),
        ("k = 2.5", True, 7, 2.5),
        ("k = 1_000", True, 7, 0.5),
        ("k =", True, 7, 0.5),
        ("", True, 7, 0.5),
    ],
)
def test_what_cannot_be_read_is_the_default(text: str, flag: bool, whole: int, real: float) -> None:  # noqa: FBT001 - a row's value
    """Values of a wrong kind count as not there, as Cantaloupe's getters with a default have it."""
    properties = _properties(text)
    assert (properties.flag("k", default=True), properties.whole("k", 7), properties.real("k", 0.5)) == (
        flag,
        whole,
        real,
    )


@given(st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\r\n\\"), max_size=40))
@settings(deadline=None, derandomize=True)
def test_any_value_comes_back_without_the_blanks_around_it(value: str) -> None:
    """Whatever stands right of the sign is the value, less what Java's trim takes from its ends."""
    assert parse(f"k = {value}", NOWHERE)["k"] == value.strip("".join(map(chr, range(33))))


def test_the_environment_goes_over_the_file() -> None:
    """A variable named after the key wins; one that cannot be read as the kind wanted does not."""
    environment = {"MAX_PIXELS": "9", "ENDPOINT_IIIF_2_ENABLED": "perhaps", "BASE_URI": ""}
    properties = _properties("max_pixels = 5\nendpoint.iiif.2.enabled = false\nbase_uri = http://x", environment)
    assert properties.whole("max_pixels", 0) == 9
    assert properties.flag("endpoint.iiif.2.enabled", default=True) is False
    assert properties.text("base_uri", "unset") == ""


def test_variables_are_named_as_cantaloupe_names_them() -> None:
    """Upper case, and an underscore for whatever is no letter or digit."""
    assert variable_of("S3Source.BasicLookupStrategy.bucket.name") == "S3SOURCE_BASICLOOKUPSTRATEGY_BUCKET_NAME"


def test_a_file_goes_over_those_it_extends(tmp_path: Path) -> None:
    """The nearest file that has a key decides, even if its value is empty; a chain may close in a loop."""
    child, parent, last = (tmp_path / name for name in ("child.properties", "parent.properties", "last.properties"))
    child.write_text("extends = parent.properties\na = child\nb =\n")
    parent.write_text(f"extends = {last}\na = parent\nb = parent\nc = parent\n", newline="\r\n")
    last.write_text("extends = child.properties\nd = last\n")
    properties = load(child, {})
    assert [properties.text(key, "unset") for key in "abcd"] == ["child", "unset", "parent", "last"]
    assert properties.keys == ["extends", "a", "b", "c", "d"]


def test_the_home_directory_is_written_as_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~/x` is a file in the home directory."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "site.properties").write_text("a = home\n")
    (tmp_path / "child.properties").write_text("extends = ~/site.properties\n")
    assert load(tmp_path / "child.properties", {}).text("a") == "home"


@pytest.mark.parametrize("content", [b"extends = nowhere.properties\n", b"a = \xff\n"])
def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path, content: bytes) -> None:
    """A file that is missing or not UTF-8 is an error, since it might have guarded images."""
    path = tmp_path / "cantaloupe.properties"
    path.write_bytes(content)
    with pytest.raises(StartError, match="SIDECAR_CANTALOUPE_CONFIG"):
        load(path, {})
