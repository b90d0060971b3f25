"""From settings to the place where files are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import sidecar_filesystem
from sidecar_filesystem import FilesystemSettings

from sidecar.cantaloupe import read
from sidecar.config import load
from sidecar.plugin import Config, Source, StartError, run_inline


@pytest.fixture(autouse=True)
def images(tmp_path: Path) -> Path:
    """Files beside and below a folder, all of the same content."""
    for name in ("images/page-1.jp2", "images/page-1", "images/1.jp2", "images/book/1.jp2", "1.jp2", "imagespage"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"content")
    return tmp_path / "images"


def sources(**settings: str) -> list[Source]:
    """What the plugin registers."""
    return [*sidecar_filesystem.register_sources(Config.of(FilesystemSettings.model_validate(settings)), run_inline)]


def where(source: Source, identifier: str) -> Path | None:
    """Where an identifier leads."""
    blob = source.find(identifier)
    return None if blob is None else blob.path


def test_nothing_set() -> None:
    """Without root and prefix there is no source, whatever the suffix."""
    assert sources() == []
    assert sources(path_suffix=".jp2") == []


@pytest.mark.parametrize(
    "prefix, suffix, identifier, name",
    [
        ("images/", "", "page-1.jp2", "page-1.jp2"),
        ("images/", ".jp2", "page-1", "page-1.jp2"),
        ("images/page-", "", "1.jp2", "page-1.jp2"),
        ("images/page-", ".jp2", "1", "page-1.jp2"),
        ("images/", "/1.jp2", "book", "book/1.jp2"),
        ("images/", ".jp2", "book/1", "book/1.jp2"),
    ],
)
@pytest.mark.parametrize("form", ["prefix alone", "root, prefix", "root, prefix from there"])
def test_texts_are_joined(images: Path, form: str, prefix: str, suffix: str, identifier: str, name: str) -> None:
    """A path is prefix + identifier + suffix as texts, as in Cantaloupe; a prefix may begin at the root."""
    whole = str(images.parent / prefix) + ("/" if prefix.endswith("/") else "")
    settings = {
        "prefix alone": {"path_prefix": whole},
        "root, prefix": {"root": str(images), "path_prefix": whole},
        "root, prefix from there": {"root": str(images.parent), "path_prefix": prefix},
    }[form]
    (source,) = sources(path_suffix=suffix, **settings)
    assert where(source, identifier) == images / name


def test_prefix_without_a_slash(images: Path) -> None:
    """As in Cantaloupe, a prefix that lacks its slash is the beginning of a name; the root is then the folder above."""
    (source,) = sources(path_prefix=str(images))
    assert where(source, "page") == images.parent / "imagespage"
    assert where(source, "/1.jp2") == images / "1.jp2"


@pytest.mark.parametrize("prefix, suffix", [("images/.", ""), ("images/", "/../../1.jp2"), ("images/.", "/1.jp2")])
@pytest.mark.parametrize("identifier", [".", "./1.jp2", "/1.jp2", "book", "./"])
def test_joining_does_not_leave_the_root(images: Path, prefix: str, suffix: str, identifier: str) -> None:
    """Dots that only come together when prefix, identifier and suffix meet do not lead out of the root."""
    (source,) = sources(root=str(images), path_prefix=f"{images.parent}/{prefix}", path_suffix=suffix)
    assert where(source, identifier) is None


def test_relative_root(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relative root is that of the folder the sidecar was started in, for as long as it runs."""
    monkeypatch.chdir(images.parent)
    (source,) = sources(root="images")
    monkeypatch.chdir("/")
    assert where(source, "1.jp2") == images / "1.jp2"


@pytest.mark.parametrize(
    "settings, variable",
    [
        ({"root": "{images}/missing"}, "SIDECAR_FILESYSTEM_ROOT"),
        ({"root": "{images}/1.jp2"}, "SIDECAR_FILESYSTEM_ROOT"),
        ({"path_prefix": "{images}/missing/"}, "SIDECAR_FILESYSTEM_PATH_PREFIX"),
        ({"path_prefix": "images/"}, "SIDECAR_FILESYSTEM_ROOT"),
        ({"path_prefix": "page-"}, "SIDECAR_FILESYSTEM_ROOT"),
        ({"root": "{images}", "path_prefix": "missing/"}, "SIDECAR_FILESYSTEM_PATH_PREFIX"),
        ({"root": "{images}", "path_prefix": "../"}, "SIDECAR_FILESYSTEM_PATH_PREFIX"),
        ({"root": "{images}", "path_prefix": "/"}, "SIDECAR_FILESYSTEM_PATH_PREFIX"),
    ],
)
def test_settings_that_cannot_work(images: Path, settings: dict[str, str], variable: str) -> None:
    """A root that is no folder, or a prefix outside of it, ends the start and names the variable."""
    with pytest.raises(StartError, match=variable):
        sources(**{name: value.format(images=images) for name, value in settings.items()})


def test_settings_from_variables(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting has its variable."""
    monkeypatch.setenv("SIDECAR_FILESYSTEM_ROOT", str(images))
    monkeypatch.setenv("SIDECAR_FILESYSTEM_PATH_PREFIX", "book/")
    monkeypatch.setenv("SIDECAR_FILESYSTEM_PATH_SUFFIX", ".jp2")
    config = load(sidecar_filesystem.register_settings())
    (source,) = sidecar_filesystem.register_sources(config, run_inline)
    assert where(source, "1") == images / "book" / "1.jp2"


def test_taken_over_from_cantaloupe(images: Path, tmp_path: Path) -> None:
    """Cantaloupe's own configuration names the place as it is."""
    properties = tmp_path / "cantaloupe.properties"
    properties.write_text(
        "source.static = FilesystemSource\n"
        f"FilesystemSource.BasicLookupStrategy.path_prefix = {images}/\n"
        "FilesystemSource.BasicLookupStrategy.path_suffix = .jp2\n"
    )
    sections = [*sidecar_filesystem.register_settings()]
    config = load(sections, below={str(properties): read(properties, sections, {}).values})
    (source,) = sidecar_filesystem.register_sources(config, run_inline)
    assert where(source, "1") == images / "1.jp2"


def test_readme_has_every_setting() -> None:
    """Each setting stands in the README by its variable."""
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    assert all(f"`{FilesystemSettings.variable(name)}`" in readme for name in FilesystemSettings.model_fields)
