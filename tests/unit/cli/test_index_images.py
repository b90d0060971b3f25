"""`sidecar index`: what it keeps, what it skips, what it reports, and how it ends."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from sidecar.cli import named_images
from sidecar.cli.main import make_cli
from sidecar.cli.progress import Progress
from sidecar.registry import Plugins
from sidecar.testing.object_store import Link, ObjectStore, Reply, Request

NAMES = ("tiled_512.jp2", "untiled_precincts_plt_sop_eph.jp2", "icc.jp2", "tiny_60x40.jp2")


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, images: Path, tmp_path: Path) -> Path:
    """A folder of images to serve, one of which is broken, and one to keep indexes in."""
    for name in [name for name in os.environ if name.startswith(("SIDECAR_", "AWS_"))]:
        monkeypatch.delenv(name)
    root = tmp_path / "images"
    (root / "below").mkdir(parents=True)
    for name in NAMES:
        shutil.copy(images / name, root / ("below" if name == "icc.jp2" else ""))
    (root / "notes.txt").write_text("none")
    monkeypatch.setenv("SIDECAR_FILESYSTEM_ROOT", str(root))
    monkeypatch.setenv("SIDECAR_JP2_INDEX_FOLDER", str(tmp_path / "kept"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    return root


def run(*arguments: str, typed: Iterable[bytes] = ()) -> Result:
    """Run the command in this process, its input and its output in pipes."""
    reading, writing = os.pipe()
    typing = threading.Thread(target=_type, args=(writing, typed))
    typing.start()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(named_images, "DESCRIPTOR", reading)
        result = CliRunner().invoke(make_cli(Plugins()), ["index", *arguments])
    typing.join()
    os.close(reading)
    return result


def _type(descriptor: int, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        os.write(descriptor, piece)
    os.close(descriptor)


def run_json(*arguments: str, typed: Iterable[bytes] = ()) -> Any:
    """Return the JSON that the command prints."""
    return json.loads(run(*arguments, "--json", typed=typed).stdout)


@pytest.fixture
def far(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ObjectStore]:
    """The same images in a bucket, and a prefix of it that indexes are shared under."""
    objects = {f"images/{path.name}": path.read_bytes() for path in folder.rglob("*.jp2")}
    with ObjectStore(objects) as store:
        store.page_keys = 2
        monkeypatch.setenv("SIDECAR_S3_BUCKET", "images")
        monkeypatch.setenv("SIDECAR_S3_ENDPOINT", store.url)
        monkeypatch.setenv("SIDECAR_S3_ANONYMOUS", "true")
        monkeypatch.setenv("SIDECAR_JP2_INDEX_URL", "s3://images/.indexes")
        monkeypatch.delenv("SIDECAR_JP2_INDEX_FOLDER")
        yield store


def test_a_folder_is_indexed_once(folder: Path) -> None:
    """All images below a folder are indexed; run again, only what has changed is."""
    first = run(str(folder))
    assert first.exit_code == 0
    assert first.stdout == "4 indexed\n"
    assert run(str(folder)).stdout == "0 indexed, 4 unchanged\n"
    shutil.copy(folder / "tiled_512.jp2", folder / "icc.jp2")
    assert run(str(folder)).stdout == "1 indexed, 4 unchanged\n"


def test_a_bucket_is_indexed_once(far: ObjectStore) -> None:
    """All images below a prefix are; run again, nothing of an image is read, only the beginnings of its entries."""
    assert run("s3://images/").stdout == "4 indexed\n"
    assert len([key for key in far.objects if key.startswith("images/.indexes/4/")]) == 4
    before = len(far.requests)
    assert run("s3://images/").stdout == "0 indexed, 4 unchanged\n"
    assert not [each.key for each in far.requests[before:] if each.key.endswith(".jp2")]
    far.put("images/icc.jp2", far.objects["images/tiled_512.jp2"].body[:] + b"?")
    assert run("s3://images/").stdout == "1 indexed, 3 unchanged\n"


def test_identifiers_on_the_standard_input(far: ObjectStore) -> None:
    """Identifiers are indexed, whatever source has them, and blank lines are none."""
    found = run_json("-", typed=[b"\ntiled_512.jp2\n  ic", b"c.jp2\n\n\xff.jp2\nnobody.jp2"])
    assert (found["indexed"], found["failed"]) == (2, 2)
    assert [each.partition(":")[2][:10] for each in found["failures"]] == [" not-found"] * 2
    assert len(far.objects) > len(NAMES)


def test_identifiers_that_come_slowly(far: ObjectStore) -> None:
    """While the next one is waited for, the images before it are indexed."""
    kept = 0

    def typed() -> Iterator[bytes]:
        nonlocal kept
        yield b"icc.jp2\n"
        until = time.monotonic() + 60
        while not kept and time.monotonic() < until:
            time.sleep(0.02)
            kept = _kept(far)
        yield b"tiny_60x40.jp2\n"

    assert run("-", typed=typed()).stdout == "2 indexed\n"
    assert kept == 1


def test_files_that_fail(folder: Path) -> None:
    """Each is named with the reason, the others are indexed, and the status says that not all are."""
    (folder / "broken.jp2").write_bytes(b"nothing of the kind")
    found = run(str(folder))
    assert found.exit_code == 3
    assert "broken.jp2: unsupported: neither a JP2 file" in found.stderr
    assert found.stdout == "4 indexed, 1 failed\n"


def test_an_identifier_that_cannot_be_a_path(folder: Path) -> None:
    """It is an identifier all the same, however long it is."""
    found = run("x" * 300, str(folder / "tiled_512.jp2"))
    assert found.stdout == "1 indexed, 1 failed\n"
    assert "x: not-found" in found.stderr


def test_names_that_control_a_terminal(folder: Path) -> None:
    """Neither colours nor line ends of a name are printed, and a name that is not UTF-8 does not end the run."""
    Path(os.fsdecode(os.fsencode(folder) + b"/\x1b[31m\n\xff.jp2")).write_bytes(b"broken")
    found = run(str(folder), "--json")
    assert "�[31m��.jp2: unsupported" in found.stderr
    assert "�[31m��.jp2: unsupported" in json.loads(found.stdout)["failures"][0]
    assert found.exit_code == 3


def test_nothing_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without images, and settings that keep nothing, are reported."""
    (tmp_path / "empty").mkdir()
    assert run(str(tmp_path / "empty")).exit_code == 1
    monkeypatch.delenv("SIDECAR_JP2_INDEX_FOLDER")
    found = run(str(tmp_path))
    assert found.exit_code == 1
    assert "nothing is set to keep indexes" in str(found.exception)


def test_a_store_that_cannot_be_written(far: ObjectStore) -> None:
    """It is found out before anything is read; if it happens later, the run ends and says why."""

    def refuse(request: Request, reply: Reply) -> Reply:
        return Reply(403) if request.method == "PUT" else reply

    far.mischief = refuse
    found = run("s3://images/")
    assert found.exit_code == 1
    assert "s3://images/.indexes: it cannot be written" in str(found.exception)
    assert not [each for each in far.requests if each.key.endswith(".jp2")]
    far.mischief = lambda request, reply: reply if "probe" in request.key and _few(far) else refuse(request, reply)
    assert run("s3://images/").stdout == ("0 indexed; stopped: s3://images/.indexes: it can no longer be written\n")


def _few(store: ObjectStore) -> bool:
    """Report whether the second run is at its beginning: each of two decoders asks for the store in each run."""
    return len([each for each in store.requests if each.method == "PUT" and "probe" in each.key]) <= 4


def test_a_place_that_cannot_be_listed(far: ObjectStore) -> None:
    """It is reported, and the status is that of wrong settings."""
    far.mischief = lambda request, reply: Reply(403) if "list-type" in request.target else reply
    found = run("s3://images/")
    assert found.exit_code == 1
    assert "stopped: s3: the bucket 'images' cannot be listed: status 403" in " ".join(found.stdout.split())


def test_an_interrupted_run(far: ObjectStore) -> None:
    """Ctrl-C ends it at once with a summary; the next run goes on with what is missing."""
    for number in range(16):
        far.put(f"images/{number:02}.jp2", far.objects["images/tiny_60x40.jp2"].body[:] + bytes(number + 1))
    far.link = Link(0.1)
    command = [sys.executable, "-m", "sidecar", "index", "s3://images/", "--at-once", "2", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        until = time.monotonic() + 60
        while time.monotonic() < until and _kept(far) < 2:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=60)
    found = json.loads(output)
    assert process.returncode == 130, errors
    assert found["interrupted"]
    assert 0 < found["indexed"] < 20
    assert b"Traceback" not in errors
    far.link = Link(0)
    again = run_json("s3://images/")
    assert again["known"] >= found["indexed"]
    assert again["known"] + again["indexed"] == 20


def _kept(store: ObjectStore) -> int:
    return len([key for key in [*store.objects] if key.startswith("images/.indexes/4/")])


class Terminal(StringIO):
    """What says that it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_the_progress_of_a_terminal() -> None:
    """A bar is drawn over and over once it is known how much there is; lines that stay are not drawn over."""
    now = [0.0]
    stream = Terminal()
    progress = Progress(stream, lambda: now[0])
    for done, total in ((1, None), (2, None), (5, 10)):
        now[0] += 1
        progress.total = total
        progress.at(done, "name")
    progress.at(6, "too soon")
    progress.say("a line")
    progress.end()
    shown = stream.getvalue()
    assert "1 of ? 1/s  name" in shown
    assert "[############------------] 5 of 10 2/s  name" in shown
    assert "too soon" not in shown
    assert shown.endswith("\r\x1b[Ka line\n\r\x1b[K")


def test_the_progress_of_a_pipe() -> None:
    """Nothing but lines is printed."""
    stream = StringIO()
    progress = Progress(stream)
    progress.at(1, "name")
    progress.say("a line")
    progress.end()
    assert stream.getvalue() == "a line\n"
