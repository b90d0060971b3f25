"""The effect of each key of a Cantaloupe's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, ClassVar

import pytest

from sidecar.cantaloupe import Takeover, read
from sidecar.cantaloupe.keys import FOREIGN, NAMED, TAKEN
from sidecar.config import Settings, core, load
from sidecar.limits.access_policy import AccessPolicy
from sidecar.plugin import FromCantaloupe, Section
from sidecar.registry import Plugins

KEYS = (Path(__file__).parents[2] / "data" / "cantaloupe_keys.txt").read_text().split()
"""Every key of the sample configuration of Cantaloupe 6.0-SNAPSHOT (commit 904412b)."""


class S3(Section):
    """Settings like those of a plugin for S3."""

    table: ClassVar[str] = "s3"
    cantaloupe_source: ClassVar[str] = "S3Source"
    bucket: Annotated[str, FromCantaloupe("S3Source.BasicLookupStrategy.bucket.name")] = ""
    path_prefix: Annotated[str, FromCantaloupe("S3Source.BasicLookupStrategy.path_prefix")] = "default"
    endpoint: Annotated[str, FromCantaloupe("S3Source.endpoint", "nonempty")] = "default"
    attempts: Annotated[int, FromCantaloupe("S3Source.attempts", "whole", 3)] = 1
    anonymous: Annotated[bool, FromCantaloupe("S3Source.anonymous", "flag")] = True


class Http(Section):
    """Settings like those of a plugin for HTTP."""

    table: ClassVar[str] = "http"
    cantaloupe_source: ClassVar[str] = "HttpSource"


class Filesystem(Section):
    """Settings like those of a plugin for files."""

    table: ClassVar[str] = "filesystem"
    cantaloupe_source: ClassVar[str] = "FilesystemSource"


def _keys_of_plugins() -> list[str]:
    """Return the keys that become settings of the installed plugins."""
    fields = [field for kind in Plugins().sections() for field in kind.model_fields.values()]
    return [mark.key for field in fields for mark in field.metadata if isinstance(mark, FromCantaloupe)]


PLUGINS = _keys_of_plugins()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Return the path that a test writes its configuration to."""
    return tmp_path / "cantaloupe.properties"


def _read(config: Path, text: str, environment: Mapping[str, str] | None = None) -> Takeover:
    config.write_text(text)
    return read(config, [Settings, S3, Http, Filesystem], environment or {})


def _core(config: Path, text: str) -> Mapping[str, object]:
    return _read(config, text).values[""]


@pytest.mark.parametrize("key", KEYS)
def test_every_key_of_the_sample_has_its_place(key: str) -> None:
    """Each key is taken over by the core or a plugin, watched, or foreign for a stated reason."""
    ours = [pattern for pattern in (*NAMED, *PLUGINS) if fnmatchcase(key, pattern)]
    named = [pattern for patterns in FOREIGN.values() for pattern in patterns if "*" not in pattern and pattern == key]
    foreign = [pattern for patterns in FOREIGN.values() for pattern in patterns if fnmatchcase(key, pattern)]
    assert ours or foreign
    assert not (ours and named)


def test_no_pattern_is_without_a_key_but_those_of_other_versions() -> None:
    """Every pattern matches a key of the sample, but those of other versions: a misspelt one would not."""
    patterns = [*NAMED, *PLUGINS, *(pattern for group in FOREIGN.values() for pattern in group)]
    unmatched = {pattern for pattern in patterns if not any(fnmatchcase(key, pattern) for key in KEYS)}
    assert unmatched == {
        "extends",
        "endpoint.iiif.[23].path",
        "endpoint.iiif.2.path",
        "endpoint.iiif.3.path",
        "endpoint.iiif.2.restrict_to_sizes",
        "overlays.enabled",
        "redaction.enabled",
        "processor.normalize",
        "processor.metadata.preserve",
        "processor.metadata.respect_orientation",
        "scale_constraint_suffix.pattern",
        "scale_constraint_suffix.format",
    }


@pytest.mark.parametrize(
    "text, prefix",
    [
        ("base_uri = https://example.org/images/", "/images"),
        ("base_uri = https://example.org/a/b", "/a/b"),
        ("base_uri = https://example.org", ""),
        ("base_uri = https://example.org/a%20b", ""),
        ("endpoint.iiif.2.path = /images/iiif/2\nendpoint.iiif.3.path = images/iiif/3/", "/images"),
        ("endpoint.iiif.2.enabled = false\nendpoint.iiif.3.path = /images/iiif/3", "/images"),
        ("endpoint.iiif.3.path = /images/iiif/3", ""),
        ("endpoint.iiif.2.path = /iiif/2\nendpoint.iiif.3.path = /iiif/3\nbase_uri = https://example.org/p", ""),
        ("endpoint.iiif.2.path = /v2\nendpoint.iiif.3.path = /v3", ""),
    ],
)
def test_the_prefix_is_the_endpoints_or_that_of_base_uri(config: Path, text: str, prefix: str) -> None:
    """What stands before `/iiif/` is taken over if it is one thing for both versions; the core accepts it."""
    settings = core(load([], None, {str(config): _read(config, text).values}))
    assert settings.prefix == prefix


def test_an_endpoint_elsewhere_is_reported(config: Path) -> None:
    """An endpoint whose path is no `/iiif/3` behind a prefix is Cantaloupe's, and the operator is told."""
    assert [note.key for note in _read(config, "endpoint.iiif.3.path = /v3").notes] == ["endpoint.iiif.3.path"]
    assert _read(config, "endpoint.iiif.3.path = /a/iiif/3").notes == []


def test_every_setting_taken_over_exists() -> None:
    """The core has the settings that the table of keys names."""
    named = [row.field for row in TAKEN]
    assert "max_pixels" in named
    assert [name for name in named if name not in Settings.model_fields] == []


@pytest.mark.parametrize(
    "text, url",
    [
        ("http.enabled = true", "http://127.0.0.1:8182"),
        ("http.enabled = true\nhttp.host = 0.0.0.0\nhttp.port = 80", "http://127.0.0.1:80"),
        ("http.enabled = true\nhttp.host = 10.0.0.5\nhttp.port = nonsense", "http://10.0.0.5:8182"),
        ("http.enabled = true\nhttp.host = ::", "http://[::1]:8182"),
        ("http.enabled = true\nhttp.host = [fd00::1]", "http://[fd00::1]:8182"),
        ("http.enabled = false\nhttp.port = 80\nhttps.enabled = true", ""),
        ("http.port = 80", ""),
    ],
)
def test_cantaloupe_is_where_its_file_says(config: Path, text: str, url: str) -> None:
    """Its host and port become SIDECAR_CANTALOUPE_URL, if it speaks plain HTTP at all."""
    takeover = _read(config, text)
    assert core(load([], None, {str(config): takeover.values})).cantaloupe_url == url
    assert takeover.notes == []


def test_a_configuration_becomes_settings(config: Path) -> None:
    """Each key of the core arrives in the setting that means the same, and `config.load` accepts them all."""
    takeover = _read(
        config,
        """
        base_uri = https://images.example.org/
        slash_substitute = :::
        max_pixels = 123
        max_scale = 2.5
        meta_identifier.transformer.StandardMetaIdentifierTransformer.delimiter = @
        endpoint.iiif.2.enabled = false
        endpoint.iiif.min_size = 32
        endpoint.iiif.min_tile_size = 256
        endpoint.iiif.restrict_to_sizes = true
        processor.background_color = navy
        processor.downscale_filter = Lanczos3
        processor.upscale_filter = LANCZOS3
        """,
    )
    settings = core(load([], None, {str(config): takeover.values}))
    assert (settings.base_uri, settings.slash_substitute, settings.meta_identifier_delimiter) == (
        "https://images.example.org/",
        ":::",
        "@",
    )
    assert (settings.max_pixels, settings.max_scale, settings.endpoints) == (123, 2.5, ("3",))
    assert (settings.min_size, settings.min_tile_size, settings.restrict_to_sizes) == (32, 256, True)
    assert (settings.background_color, settings.downscale_filter) == ("#000080", "lanczos3")
    assert takeover.notes == []


@pytest.mark.parametrize(
    "text, table, settings",
    [
        (
            """
            source.static = FilesystemSource
            FilesystemSource.BasicLookupStrategy.path_prefix = /images/
            FilesystemSource.BasicLookupStrategy.path_suffix = .jp2
            """,
            "filesystem",
            {"path_prefix": "/images/", "path_suffix": ".jp2"},
        ),
        (
            """
            source.static = HttpSource
            HttpSource.BasicLookupStrategy.url_prefix = https://images.example.org/a/
            HttpSource.BasicLookupStrategy.url_suffix = .jp2
            HttpSource.BasicLookupStrategy.auth.basic.username = me
            HttpSource.request_timeout = 7
            """,
            "http",
            {"url_prefix": "https://images.example.org/a/", "url_suffix": ".jp2", "username": "me", "timeout": 7.0},
        ),
        (
            """
            source.static = S3Source
            S3Source.BasicLookupStrategy.bucket.name = images
            S3Source.BasicLookupStrategy.path_prefix = a/
            S3Source.endpoint = https://minio.example.org:9000/
            S3Source.region = eu-central-1
            S3Source.access_key_id = me
            """,
            "s3",
            {"bucket": "images", "path_prefix": "a/", "region": "eu-central-1", "access_key_id": "me"},
        ),
        ("processor.jpg.quality = 70", "jpeg", {"quality": 70}),
    ],
)
def test_plugins_accept_what_is_taken_over(config: Path, text: str, table: str, settings: Mapping[str, object]) -> None:
    """The installed plugins' own settings take the values of each source, and nothing is reported."""
    config.write_text(text)
    plugins = Plugins()
    takeover = read(config, [Settings, *plugins.sections()], {})
    loaded = plugins.configure(below={str(config): takeover.values})
    section = next(section for kind, section in loaded.sections.items() if kind.table == table)
    assert {name: getattr(section, name) for name in settings} == settings
    assert takeover.notes == []


def test_an_empty_configuration_means_cantaloupes_defaults(config: Path) -> None:
    """The defaults are those of its code, not those of its sample file."""
    values = _core(config, "")
    assert (values["max_pixels"], values["max_scale"], values["endpoints"]) == (0, 1.0, ("2", "3"))
    assert (values["cache_control"], values["downscale_filter"], values["background_color"]) == ("", "box", "#ffffff")


@pytest.mark.parametrize(
    "text, header",
    [
        ("cache.client.enabled = false\ncache.client.max_age = 5", ""),
        ("cache.client.enabled = true", "public"),
        (
            "cache.client.enabled = true\ncache.client.max_age = 2592000\ncache.client.no_transform = true",
            "max-age=2592000, public, no-transform",
        ),
        (
            "cache.client.shared_max_age = 9"
            + "".join(
                f"\ncache.client.{name} = {value}"
                for name, value in {
                    "enabled": "1",
                    "public": "false",
                    "private": "true",
                    "no_cache": "true",
                    "no_store": "true",
                    "must_revalidate": "true",
                    "proxy_revalidate": "true",
                }.items()
            ),
            "s-maxage=9, private, no-cache, no-store, must-revalidate, proxy-revalidate",
        ),
    ],
)
def test_cache_control_is_put_together_as_cantaloupe_does(config: Path, text: str, header: str) -> None:
    """The directives and their order are Cantaloupe's; the third row is what a real one answered."""
    assert _core(config, text)["cache_control"] == header


@pytest.mark.parametrize(
    "name, color",
    [
        ("white", "#ffffff"),
        ("rebeccapurple", "#663399"),
        ("#abc", "#a0b0c0"),
        ("#0A0b0C", "#0a0b0c"),
        ("#0a0b0cff", "#0a0b0c"),
        ("rgb(1, 2, 3)", "#010203"),
        ("rgba(1, 2, 3, 255)", "#010203"),
    ],
)
def test_a_colour_means_what_it_means_to_cantaloupe(config: Path, name: str, color: str) -> None:
    """Names, short and long hexadecimal forms and rgb() are read as its Color does."""
    takeover = _read(config, f"processor.background_color = {name}")
    assert (takeover.values[""]["background_color"], takeover.hand_over) == (color, "")


@pytest.mark.parametrize("name", ["rgba(0,0,0,100)", "#00000080", "White", "rgb(300,0,0)", "#12345", "chartreuze"])
def test_what_is_no_opaque_colour_is_left_to_cantaloupe(config: Path, name: str) -> None:
    """Whatever it makes of such a background, its images show it and ours do not."""
    assert _read(config, f"processor.background_color = {name}").hand_over == "images"


@pytest.mark.parametrize(
    "text, requests, key",
    [
        ("processor.sharpen = 0.2", "images", "processor.sharpen"),
        ("processor.sharpen = 0", "", None),
        ("processor.downscale_linear = true", "scaled", "processor.downscale_linear"),
        ("processor.downscale_filter = bell", "scaled", "processor.downscale_filter"),
        ("max_scale = 0\nprocessor.downscale_filter = lanczos3", "enlarged", "processor.upscale_filter"),
        ("max_scale = 1\nprocessor.downscale_filter = lanczos3", "", None),
        ("overlays.BasicStrategy.enabled = true", "images", "overlays.BasicStrategy.enabled"),
        ("overlays.strategy = ScriptStrategy", "images", "overlays.strategy"),
        (
            "overlays.strategy = ScriptStrategy\noverlays.BasicStrategy.enabled = true",
            "images",
            "overlays.strategy",
        ),
        ("processor.metadata.respect_orientation = true", "", "processor.metadata.respect_orientation"),
        ("processor.metadata.respect_orientation = false", "", "processor.metadata.respect_orientation"),
        ("meta_identifier.transformer = DelegateMetaIdentifierTransformer", "all", "meta_identifier.transformer"),
        ("meta_identifier.transformer = a.b.StandardMetaIdentifierTransformer", "", None),
        ("source.static = HttpSource\nHttpSource.proxy.http.host = proxy", "all", "HttpSource.proxy.http.host"),
        ("source.static = FilesystemSource\nHttpSource.proxy.http.host = proxy", "", None),
    ],
)
def test_what_changes_responses_is_reported_and_handed_over(
    config: Path, text: str, requests: str, key: str | None
) -> None:
    """The requests that a key affects are Cantaloupe's and a note names the key; without an effect there is no note."""
    takeover = _read(config, text)
    assert takeover.hand_over == requests
    assert core(load([], None, {str(config): takeover.values})).hand_over == requests
    assert [note.key for note in takeover.notes] == ([key] if key else [])


@pytest.mark.parametrize(
    "text, requests",
    [
        ("max_scale = 0\nprocessor.upscale_filter = mitchell\nprocessor.downscale_linear = true", "scaled"),
        ("processor.sharpen = 1\nprocessor.downscale_linear = true", "images"),
        ("meta_identifier.transformer = Own\nmax_scale = 0\nprocessor.upscale_filter = mitchell", "all"),
    ],
)
def test_the_widest_kind_of_requests_counts(config: Path, text: str, requests: str) -> None:
    """Of several keys that hand over, the one that hands over most decides."""
    assert _read(config, text).hand_over == requests


@pytest.mark.parametrize(
    "text, reason",
    [
        ("delegate_script.enabled = true", "delegate_script.enabled = true"),
        ("source.delegate = true", "source.delegate = true"),
        (
            "source.static = FilesystemSource\nFilesystemSource.lookup_strategy = ScriptLookupStrategy",
            "FilesystemSource.lookup_strategy = ScriptLookupStrategy",
        ),
        ("redaction.enabled = true", "redaction.enabled = true"),
        ("delegate_script.enabled = false", ""),
        ("source.static = S3Source\nFilesystemSource.lookup_strategy = ScriptLookupStrategy", ""),
    ],
)
def test_images_that_a_script_may_guard_are_known_as_such(config: Path, text: str, reason: str) -> None:
    """If a script decides in Cantaloupe, the takeover has the key that makes it do so."""
    takeover = _read(config, text)
    assert takeover.guarded == reason
    settings = core(load([], None, {str(config): takeover.values}))
    assert (settings.guarded or settings.delegate_guards) == reason
    assert AccessPolicy.of(settings).guarded_by == reason


def test_a_guard_in_the_environment_counts(config: Path) -> None:
    """Cantaloupe's own variables go over its file here too."""
    takeover = _read(config, "delegate_script.enabled = false", {"DELEGATE_SCRIPT_ENABLED": "true"})
    assert takeover.guarded == "delegate_script.enabled = true"


def test_a_lookup_by_script_gives_no_place_of_images(config: Path) -> None:
    """The keys of the plain lookup have no effect beside it and are not taken over; those of the storage are."""
    text = "source.static = S3Source\nS3Source.lookup_strategy = {}\nS3Source.BasicLookupStrategy.bucket.name = images"
    assert _read(config, text.format("BasicLookupStrategy")).values["s3"]["bucket"] == "images"
    assert "bucket" not in _read(config, text.format("ScriptLookupStrategy")).values["s3"]
    assert (
        _read(config, text.format("ScriptLookupStrategy") + "\nS3Source.endpoint = x").values["s3"]["endpoint"] == "x"
    )


def test_only_the_source_in_use_is_taken_over(config: Path) -> None:
    """Settings of other sources are not taken over: they have no effect in Cantaloupe either."""
    text = "S3Source.BasicLookupStrategy.bucket.name = images\nsource.static = "
    assert "s3" not in _read(config, f"{text}S3Source\nsource.delegate = true").values
    assert "s3" in _read(config, text + "edu.illinois.library.cantaloupe.source.S3Source").values
    assert "s3" not in _read(config, text + "FilesystemSource").values


def test_annotated_fields_are_taken_over(config: Path) -> None:
    """A field's annotation names its key and how it is read; the values are those that Cantaloupe itself would use."""
    written = _read(
        config, "source.static = S3Source\nS3Source.attempts = 7\nS3Source.anonymous = true\nS3Source.endpoint = x"
    )
    assert written.values["s3"] == {
        "bucket": "",
        "path_prefix": "",
        "endpoint": "x",
        "attempts": 7,
        "anonymous": True,
    }
    assert written.notes == []
    unreadable = _read(config, "source.static = S3Source\nS3Source.attempts = many\nS3Source.endpoint =")
    assert unreadable.values["s3"] == {"bucket": "", "path_prefix": "", "attempts": 3, "anonymous": False}


def test_a_source_without_its_plugin_is_reported(config: Path) -> None:
    """If no plugin stands for the source in use, it and the keys of its settings are reported, secrets left out."""
    config.write_text(
        "source.static = HttpSource\nHttpSource.BasicLookupStrategy.url_prefix = http://x/\n"
        "HttpSource.BasicLookupStrategy.auth.basic.secret = hush"
    )
    takeover = read(config, [Settings, S3], {})
    assert [note.key for note in takeover.notes] == [
        "source.static",
        "HttpSource.BasicLookupStrategy.url_prefix",
        "HttpSource.BasicLookupStrategy.auth.basic.secret",
    ]
    assert "no plugin reads from there" in takeover.notes[0].text
    assert "hush" not in " ".join(map(str, takeover.notes))


def test_other_sources_and_unknown_keys_are_reported(config: Path) -> None:
    """An operator sees what the sidecar cannot follow, one line for each key."""
    takeover = _read(config, "source.static = AzureStorageSource\nprocessor.sparkle = 3")
    lines = [str(note) for note in takeover.notes]
    assert lines[0].startswith("source.static = AzureStorageSource: ")
    assert lines[1].startswith("processor.sparkle = 3: ")
    assert len(lines) == 2
