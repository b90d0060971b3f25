"""What settings mean, from their own source."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field as Setting
from pydantic import create_model

from sidecar.plugin import RemoteSettings, Section


class Shelf(RemoteSettings):
    """A plugin's settings."""

    table: ClassVar[str] = "shelf"
    """No field."""
    root: str = ""
    """Where the
    files are."""
    plain: int = 1
    said: int = Setting(2, description="as the field says")
    """Not this."""
    timeout: float = 3.0
    """Seconds, of this shelf."""


def test_meanings() -> None:
    """A description counts, else the docstring, of a base if the class itself has none; some have neither."""
    assert Shelf.meaning("root") == "Where the files are."
    assert (Shelf.meaning("plain"), Shelf.meaning("said")) == ("", "as the field says")
    assert Shelf.meaning("timeout") == "Seconds, of this shelf."
    assert Shelf.meaning("attempts") == RemoteSettings.meaning("attempts") != ""


def test_a_class_without_source() -> None:
    """It has no meanings, and can be shown all the same."""
    fields: Any = {"height": (int, 1)}
    made = create_model("Made", __base__=Section, **fields)
    assert made.meaning("height") == ""
