"""`sidecar init`: the file that it writes says what it was given, and the sidecar reads it."""

from __future__ import annotations

import errno
import os
import stat
import tomllib
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from sidecar.cli import init, settings_file
from sidecar.cli.tools import init as command
from sidecar.config import Settings, core, load, settable
from sidecar.errors import StartError
from sidecar.limits.access_policy import AccessPolicy
from sidecar.plugin import Section
from sidecar.registry import Plugins

KINDS: list[type[Section]] = [Settings, *Plugins().sections()]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SIDECAR_CONFIG", "SIDECAR_CANTALOUPE_CONFIG", "SIDECAR_FILESYSTEM_ROOT"):
        monkeypatch.delenv(name, raising=False)


def run(*arguments: str, answers: str = "") -> tuple[int, str]:
    app = typer.Typer()
    app.command()(command)
    done = CliRunner().invoke(app, arguments, input=answers)
    if isinstance(done.exception, StartError):
        return 1, str(done.exception)
    return done.exit_code, done.output


def test_a_first_file_changes_nothing(tmp_path: Path) -> None:
    """Without answers every setting is a comment, above it what `sidecar config` says of it; it can be read."""
    file = tmp_path / "sidecar.toml"
    assert run(str(file), "--no-ask")[0] == 0
    text = file.read_text(encoding="utf-8")
    content = tomllib.loads(text)
    assert {name: table for name, table in content.items() if table} == {}
    assert core(load(KINDS[1:], file)) == Settings()
    assert "# Worker processes.\n# workers = 2\n" in text
    assert max(map(len, text.splitlines())) <= 120


def test_every_setting_is_written_so_that_it_can_be_read() -> None:
    """With all values set to their defaults the text is TOML, and means the defaults."""
    values = {kind.table: {name: getattr(kind(), name) for name in settable(kind)} for kind in KINDS}
    given = {
        table: {name: value for name, value in each.items() if value is not None} for table, each in values.items()
    }
    content = tomllib.loads(settings_file.written(KINDS, given, every=True))
    for kind in KINDS:
        table = content[kind.table] if kind.table else content
        own = {name: value for name, value in table.items() if not isinstance(value, dict)}
        assert kind.model_validate(own) == kind()
        assert {*own} == {*given[kind.table]}


@pytest.mark.parametrize("value", ['a "b" \\ c', "ü\u007f\n\t", (), ("a", "b"), 1, 1.5, 1e-7, True])
def test_values_survive(value: object) -> None:
    """What is written comes back equal, whatever characters it has."""
    read = tomllib.loads(f"x = {settings_file.toml(value)}")["x"]
    assert (tuple(read) if isinstance(read, list) else read) == value


def test_images_stay_guarded(tmp_path: Path) -> None:
    """A file that takes the place of one with a delegate script hands everything over, whatever else is promised."""
    properties, file = tmp_path / "cantaloupe.properties", tmp_path / "sidecar.toml"
    (tmp_path / "delegates.rb").write_text("def source(options = {})\n  x\nend\n")
    properties.write_text("delegate_script.enabled = true\ndelegate_script.pathname = delegates.rb\n")
    assert run(str(file), "--cantaloupe-config", str(properties))[0] == 0
    settings = core(load(KINDS[1:], file, {"promised": {"": {"delegate_only_looks_up": True}}}))
    assert AccessPolicy.of(settings).guarded_by == "delegate_script.enabled = true"


def test_cantaloupes_file_becomes_ours(tmp_path: Path) -> None:
    """What is taken over is set, what is not honoured stands at the head, and a file with a secret is its owner's."""
    properties = tmp_path / "cantaloupe.properties"
    properties.write_text(
        "source.static = S3Source\nS3Source.BasicLookupStrategy.bucket.name = scans\nS3Source.access_key_id = me\n"
        'S3Source.secret_key = se"cret\nhttp.enabled = true\nhttp.host = 0.0.0.0\nhttp.port = 8282\n'
        "processor.sharpen = 0.3\nmax_pixels = 5000\n"
    )
    file = tmp_path / "sidecar.toml"
    assert run(str(file), "--cantaloupe-config", str(properties))[0] == 0
    text = file.read_text(encoding="utf-8")
    config = load(KINDS[1:], file)
    settings = core(config)
    assert (settings.max_pixels, settings.cantaloupe_url) == (5000, "http://127.0.0.1:8282")
    assert settings.hand_over == "images"
    assert "# - processor.sharpen = 0.3: images are not sharpened; handed over: images" in text
    assert 'secret_key = "se\\"cret"\n' in text
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    "line, mode",
    [("url_suffix = .jp2?sig=secret", 0o600), ("url_prefix = https://host/images/", 0o644)],
)
def test_a_url_may_hold_a_secret(line: str, mode: int, tmp_path: Path) -> None:
    """A file with a token in a URL is its owner's, too."""
    properties, file = tmp_path / "cantaloupe.properties", tmp_path / "sidecar.toml"
    properties.write_text(f"source.static = HttpSource\nHttpSource.BasicLookupStrategy.{line}\n")
    assert run(str(file), "--cantaloupe-config", str(properties))[0] == 0
    assert line.partition(" = ")[2] in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == mode


def test_what_is_replaced_stays_until_the_new_file_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk is full, --force loses nothing, leaves nothing behind, and says which file could not be written."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    file = tmp_path / "sidecar.toml"
    file.write_text("workers = 7\n")
    monkeypatch.setattr(os, "fsync", full)
    status, said = run(str(file), "--no-ask", "--force")
    assert (status, said) == (1, f"{file}: No space left on device")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("sidecar.toml", "workers = 7\n")]


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    """A file that exists stays as it is, unless --force says otherwise."""
    file = tmp_path / "sidecar.toml"
    file.write_text("workers = 7\n")
    status, said = run(str(file), "--no-ask")
    assert (status, file.read_text()) == (1, "workers = 7\n")
    assert said == f"{file} exists; --force replaces it"
    assert run(str(file), "--no-ask", "--force")[0] == 0
    assert "# workers = 2" in file.read_text()


def test_answers_become_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong answer is asked for again; with a folder no other source is asked for; defaults stay comments."""
    monkeypatch.setattr(init, "is_terminal", lambda: True)
    file = tmp_path / "sidecar.toml"
    answers = "/srv/images\nhttp://127.0.0.1:8182\nnowhere\n127.0.0.1:9000\n\n"
    status, said = run(str(file), answers=answers)
    assert status == 0
    assert "S3" not in said
    assert "SIDECAR_BIND: " in said
    assert "'nowhere' is no address" in said
    content = {name: value for name, value in tomllib.loads(file.read_text()).items() if value}
    assert content == {
        "bind": "127.0.0.1:9000",
        "cantaloupe_url": "http://127.0.0.1:8182",
        "filesystem": {"root": "/srv/images"},
    }


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    """Is reported in one line."""
    (tmp_path / "file").touch()
    status, said = run(str(tmp_path / "file" / "sidecar.toml"), "--no-ask")
    assert (status, said) == (1, f"{tmp_path}/file: File exists")


def test_the_folder_is_made(tmp_path: Path) -> None:
    """A first file in /etc/sidecar needs no folder before it."""
    assert run(str(tmp_path / "etc" / "sidecar.toml"), "--no-ask")[0] == 0
    assert (tmp_path / "etc" / "sidecar.toml").is_file()
