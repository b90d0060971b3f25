"""Rules that make places of identifiers."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.plugin.location_rules import LocationRule, fill


def place(rule: str, identifier: str) -> str | None:
    """The place that a rule makes of an identifier, nothing encoded."""
    parsed = LocationRule.parse(rule)
    parts = parsed.match(identifier)
    return None if parts is None else fill(parsed.template, parts, lambda part, _: part)


@pytest.mark.parametrize(
    "rule, identifier, expected",
    [
        ("{identifier_} -> h/{identifier}", "page.jp2", "h/page.jp2"),
        ("lax:{rest*} -> lax/{rest}", "lax:a/b.tif", "lax/a/b.tif"),
        ("lax:{rest} -> lax/{rest}", "lax:a/b.tif", None),
        ("lax:{rest*} -> lax/{rest}", "digests:a", None),
        ("{a:2}{b:2}{rest*} -> {a}/{b}/{identifier}", "abcdef", "ab/cd/abcdef"),
        ("{a:2}{rest} -> {a}/{rest}", "ab", None),
        ("{head}{tail:2} -> {tail}/{head}{tail}", "abcdef", "ef/abcdef"),
        ("{a}/{b}/{c} -> {c}.{b}.{a}", "1/2/3", "3.2.1"),
        ("{a}/{b}/{c} -> {c}.{b}.{a}", "1/2/3/4", None),
        ("https://repo.example.org/{path*} -> {path}", "https://repo.example.org/f/1.jp2", "f/1.jp2"),
        ("https://repo.example.org/{path*} -> {path}", "https://repo.example.org.evil/f", None),
        ("{name}.jp2 -> {name}", "a.b.jp2", "a.b"),
        ("a.{name} -> {name}", "axb", None),
        ("{a}-{b}.jp2 -> {a}+{b}", "1-2-3.jp2.jp2", "1+2-3.jp2"),
        ("{a}{b:2}-{c} -> {a}+{b}+{c}", "1234-5-6", "12+34+5-6"),
        ("fixed -> elsewhere", "fixed", "elsewhere"),
        ("{any*} -> {any}", "line\nend", "line\nend"),
    ],
)
def test_places(rule: str, identifier: str, expected: str | None) -> None:
    """Whole identifiers match, parts keep to slashes or not, and all else in a pattern means itself."""
    assert place(rule, identifier) == expected


@pytest.mark.parametrize(
    "wrong",
    [
        *("", "a", "a -> ", " -> b", "{a} -> {b}", "{a}{a} -> {a}", "{identifier} -> {identifier}", "{a -> b"),
        *("{A} -> b", "{a:0} -> b", "{a} -> {a:2}", "{a} -> {", "{a}{b} -> {a}", "{a*}{b} -> {a}", "{a}-{a} -> {a}"),
    ],
)
def test_what_is_no_rule(wrong: str) -> None:
    """It is refused: also a pattern that could take long to find that something does not match."""
    with pytest.raises(ValueError, match=r"\{|PATTERN"):
        LocationRule.parse(wrong)


@given(st.text("ab/-.", min_size=1, max_size=30))
@settings(max_examples=200, deadline=None, database=None, derandomize=True)
def test_parts_are_of_the_identifier(identifier: str) -> None:
    """Put together as the pattern has them, parts are the identifier again."""
    found = LocationRule.parse("{a}-{b*}/{c} -> {a}").match(identifier)
    if found is not None:
        assert f"{found['a']}-{found['b']}/{found['c']}" == identifier
        assert "/" not in found["a"] + found["c"]


@pytest.mark.parametrize("pattern", ["{a*}-{b*}x", "{a}-{b}-{c}/x", "{a}-{b*}-{c}-{d}/{e}-{f}", "{a}{b:3}-{c}x"])
def test_the_longest_identifiers_are_matched_at_once(pattern: str) -> None:
    """Identifiers that are made to keep a pattern busy come to an end: none of its parts is tried again."""
    assert place(f"{pattern} -> {{a}}", "-" * 200_000) is None
