"""`sidecar doctor`: what is as it should be is said to be, and what is not, with what to do."""

from __future__ import annotations

import http.server
import json
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest
import structlog
from typer.testing import CliRunner

from sidecar.cantaloupe import DelegateScript
from sidecar.cli import nginx_site, shipped_files
from sidecar.cli.console import WIDTH
from sidecar.cli.doctor import delegate, folders, reach, system
from sidecar.cli.doctor.finding import Finding, examined
from sidecar.cli.doctor.nginx import nginx
from sidecar.cli.main import make_cli
from sidecar.cli.nginx_fleet import Fleet
from sidecar.config import Settings
from sidecar.errors import SourceError
from sidecar.plugin import Blob, Folder
from sidecar.registry import Plugins
from sidecar.testing.fakes import GradientDecoder, MemorySource

MAIN: Final = """
events { }
http {
    include sidecar/sidecar.conf;
    server {
        server_name images.example.org;
        include sidecar/sidecar-locations.conf;
        location @cantaloupe { proxy_pass http://127.0.0.1:8182; include sidecar/sidecar-headers.conf; }
    }
}
"""


class Images(GradientDecoder):
    """Claims what the shipped site sends to the sidecar."""

    suffixes = frozenset({"jp2", "svs"})


def problems(found: Iterator[Finding]) -> Sequence[str]:
    """Return the texts of all that is not right; each has something to do."""
    wrong = [each for each in found if each.state != "ok"]
    assert all(each.remedy for each in wrong)
    return [f"{each.state}: {each.text}" for each in wrong]


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Write nginx.conf with the shipped files; returns its path."""
    (tmp_path / "sidecar").mkdir()
    for file in shipped_files.folder(nginx_site.FOLDER).glob("*.conf"):
        (tmp_path / "sidecar" / file.name).write_text(file.read_text(encoding="utf-8"), encoding="utf-8")
    main = tmp_path / "nginx.conf"
    main.write_text(MAIN)
    return main


def test_the_shipped_site_is_right(site: Path) -> None:
    """With the files as they are shipped and the default settings nothing is wrong."""
    found = [*nginx(site, Settings(), [Images()])]
    assert problems(iter(found)) == []
    assert len(found) >= 4


def test_a_generated_site_is_right(site: Path) -> None:
    """What `sidecar nginx` writes for other settings is right for them, and wrong for the defaults."""
    settings = Settings(bind="unix:/run/sidecar.sock", prefix="/images")
    written = nginx_site.files(nginx_site.site_of(settings, [Images()]))
    for name, text in written.items():
        (site.parent / "sidecar" / name).write_text(text, encoding="utf-8")
    assert problems(nginx(site, settings, [Images()])) == []
    texts = "\n".join(problems(nginx(site, Settings(), [Images()])))
    for words in (
        "nginx asks unix:/run/sidecar.sock, the sidecar listens at 127.0.0.1:8183",
        "removes the prefix '/images'",
    ):
        assert words in texts


WRONG: Final = {
    "does not include sidecar.conf": ("    include sidecar/sidecar.conf;\n", ""),
    "none of the 1 servers includes sidecar-locations.conf": ("include sidecar/sidecar-locations.conf;", ""),
    "there is no `location @cantaloupe`": ("location @cantaloupe", "location /"),
    "sends Cantaloupe another host": ("include sidecar/sidecar-headers.conf;", "proxy_set_header Host $host;"),
    "has a URI part, which decodes %2F": (":8182;", ":8182/;"),
    "nginx.conf": ("    server {", "    server }"),
}


@pytest.mark.parametrize("words", WRONG)
def test_a_wrong_site(site: Path, words: str) -> None:
    """Each mistake of an operator is found, named and has a remedy."""
    site.write_text(MAIN.replace(*WRONG[words]))
    assert any(words in text for text in problems(nginx(site, Settings(), [Images()])))


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("proxy_set_header X-Sidecar-Handover nginx;", "", "does not set X-Sidecar-Handover"),
        ("error_page 418 421 = @cantaloupe;", "", "has no `error_page 421 = @cantaloupe`"),
        ("proxy_read_timeout 60s;", "proxy_read_timeout 20s;", "nginx waits 20 s, the sidecar hands over after 50 s"),
    ],
)
def test_wrong_locations(site: Path, old: str, new: str, words: str) -> None:
    """What is missing in an old or edited copy of our files is found."""
    for name in ("sidecar-locations.conf", "sidecar-pass.conf"):
        file = site.parent / "sidecar" / name
        file.write_text(file.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    (text,) = problems(nginx(site, Settings(), [Images()]))
    assert words in text


def test_workers_that_nginx_does_not_know(site: Path) -> None:
    """A site written for another number of workers still works, which is a warning with a remedy."""
    (found,) = [each for each in nginx(site, Settings(workers=3), [Images()]) if each.state == "warning"]
    assert "to other addresses than those of single workers" in found.text


@pytest.mark.parametrize("fleet", [Fleet(["10.0.0.5", "10.0.0.6"]), Fleet(service="a.test", resolvers=["10.0.0.53"])])
def test_sidecars_on_several_hosts(site: Path, fleet: Fleet) -> None:
    """A site for several hosts is right, whatever addresses this sidecar has."""
    written = nginx_site.files(nginx_site.NginxSite((), fleet=fleet))
    (site.parent / "sidecar" / "sidecar.conf").write_text(written["sidecar.conf"])
    found = [*nginx(site, Settings(bind="0.0.0.0:8183"), [Images()])]
    assert [each for each in found if each.state != "ok"] == []
    assert any(each.text.startswith("sidecars on several hosts are asked") for each in found)


def test_suffixes_that_nginx_keeps(site: Path) -> None:
    """A decoder's suffix that nginx does not send to the sidecar is named."""
    assert any("sends no gradient" in text for text in problems(nginx(site, Settings(), [Images(), GradientDecoder()])))


def test_no_nginx(tmp_path: Path) -> None:
    """A file that was named and is not there is a problem; the usual one may be elsewhere."""
    assert len(problems(nginx(tmp_path / "nginx.conf", Settings(), []))) == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may do everything")
def test_closed_folders(tmp_path: Path) -> None:
    """A folder that cannot be read or written is a problem."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    found = problems(folders.folders([Folder(path=closed), Folder(path=closed / "a", writable=True)]))
    assert len(found) == 2


def test_folders(tmp_path: Path) -> None:
    """Folders that are there are right, one that can be made too; one that is missing is a problem."""
    right = [Folder(path=tmp_path), Folder(path=tmp_path, writable=True), Folder(path=tmp_path / "new", writable=True)]
    assert problems(folders.folders(right)) == []
    assert problems(folders.folders([Folder(path=tmp_path / "gone")])) == [f"problem: {tmp_path}/gone does not exist"]


class Broken:
    """A source whose storage does not answer."""

    name = "broken"

    def find(self, identifier: str) -> Blob | None:
        """Raise SourceError."""
        raise SourceError(f"http://user:secret@storage/{identifier} refuses the connection")


def test_sources() -> None:
    """A source that answers is right; one that does not, and none at all, are problems. No secrets are shown."""
    assert problems(reach.sources([MemorySource({})])) == []
    (text,) = problems(reach.sources([Broken()]))
    assert "refuses the connection" in text
    assert "secret" not in text
    assert problems(reach.sources([])) == ["problem: no source is set up, so no image is found"]


@pytest.fixture
def cantaloupe() -> Iterator[str]:
    """Serve one that lives in the past; yields its URL."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response_only(200)
            self.send_header("X-Powered-By", "Cantaloupe/5.0.6")
            self.send_header("Date", "Tue, 15 Nov 1994 08:12:31 GMT")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_cantaloupe(cantaloupe: str) -> None:
    """It is asked, named, and its clock compared; one that does not answer is a problem."""
    found = [*reach.cantaloupe(cantaloupe)]
    assert "answers 200" in found[0].text
    assert "Cantaloupe/5.0.6" in found[0].text
    assert (found[1].subject, found[1].state) == ("clock", "warning")
    (text,) = problems(reach.cantaloupe("http://127.0.0.1:9"))
    assert text.startswith("problem: http://127.0.0.1:9 does not answer")


def test_limits() -> None:
    """More memory than there is is a problem, very little a warning."""
    assert any("more than there is" in text for text in problems(system.limits(Settings(memory_bytes=2**50))))
    assert any("refused with 413" in text for text in problems(system.limits(Settings(memory_bytes=2**26))))


def test_sandbox() -> None:
    """A sandbox that is turned off is a warning."""
    assert len(problems(system.sandbox(Settings(sandbox="off")))) == 1


def test_an_examination_that_fails() -> None:
    """An examination that fails by itself is a problem, and what it had found stays."""

    def failing() -> Iterator[Finding]:
        yield Finding("a", "ok", "right")
        raise OSError("no such thing")

    assert [each.state for each in examined("a", failing)] == ["ok", "problem"]


def test_as_a_command(monkeypatch: pytest.MonkeyPatch, images: Path, site: Path) -> None:
    """All examinations run; a problem makes the status 1; JSON has the same as the text, which is 100 columns wide."""
    for name in [*os.environ]:
        if name.startswith("SIDECAR_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("SIDECAR_FILESYSTEM_ROOT", str(images))
    monkeypatch.setenv("SIDECAR_WORKER", "3")
    cli, options = make_cli(Plugins()), ["doctor", "--nginx", str(site), "--image", "icc.jp2"]
    text = CliRunner().invoke(cli, options)
    found = json.loads(CliRunner().invoke(cli, [*options, "--json"]).stdout)
    structlog.reset_defaults()
    assert text.exit_code == 0, text.stdout
    assert "no problems" in text.stdout
    assert max(map(len, text.stdout.splitlines())) <= WIDTH
    subjects = {each["subject"] for each in found}
    assert subjects >= {
        "settings",
        "libraries",
        "allocator",
        "limits",
        "sandbox",
        "clock",
        "folders",
        "sources",
        "nginx",
    }
    assert any("did you mean SIDECAR_WORKERS?" in each["text"] for each in found if each["state"] == "warning")
    assert any("icc.jp2 is found and opened" in each["text"] for each in found)
    monkeypatch.setenv("SIDECAR_WORKERS", "0")
    assert CliRunner().invoke(cli, options).exit_code == 1


def test_what_a_fleet_has_to_agree_on() -> None:
    """Which number to set where machines with other memory answer too; nothing to do if it is set."""
    (found,) = system.fleet(Settings(), 2**28)
    assert (found.state, "set SIDECAR_MAX_PIXELS=268435456 on all" in found.text) == ("ok", True)
    (found,) = system.fleet(Settings(max_pixels=2**20), 2**28)
    assert "set to 1,048,576 pixels" in found.text


def test_a_delegate_script_that_only_looks_up() -> None:
    """It is said to, and what to set; if that is set, all is well."""
    found = DelegateScript(Path("/etc/delegates.rb"), ["source", "s3source_object_info"])
    (wrong,) = problems(delegate.script(found, Settings()))
    assert "looks images up by `source`, `s3source_object_info` and does nothing else that shows" in wrong
    assert problems(delegate.script(found, Settings(delegate_only_looks_up=True))) == []
    assert problems(delegate.script(None, Settings())) == []


def test_a_delegate_script_that_does_more() -> None:
    """What guards, what adds and what does not show are told apart."""
    found = DelegateScript(Path("/etc/delegates.rb"), ["source", "authorize", "metadata"], ["include"])
    guards, adds, elsewhere = problems(delegate.script(found, Settings(delegate_only_looks_up=True)))
    assert "`authorize`, which may refuse images or parts of them: every request is handed over" in guards
    assert "`metadata`: responses of the sidecar lack" in adds
    assert "`include`" in elsewhere
    done, *_ = problems(delegate.script(found, Settings(authorization_is_done_in_front=True)))
    assert "it is not asked for what the sidecar answers" in done


def test_a_delegate_script_that_cannot_be_read() -> None:
    """What it does is not known."""
    found = DelegateScript(Path("/etc/delegates.rb"), problem="cannot be read: Permission denied")
    assert problems(delegate.script(found, Settings())) == [
        "warning: /etc/delegates.rb cannot be read: Permission denied, so what it does is not known"
    ]


def test_the_server_is_asked_where_it_listens(cantaloupe: str, tmp_path: Path) -> None:
    """The first address that can be asked is, of several, too, and a Unix socket as well."""
    address = cantaloupe.removeprefix("http://")
    for bind in (address, f"fd://3, {address}", f"{address}, [::1]:9"):
        (found,) = reach.itself(Settings(bind=bind))
        assert found.text == f"{address} answers 200: status 200: is that the sidecar?"
    (found,) = reach.itself(Settings(bind=f"unix:{tmp_path}/none"))
    assert (found.state, found.text) == ("warning", f"nobody answers at unix:{tmp_path}/none")
    (found,) = reach.itself(Settings(bind="fd://3"))
    assert (found.state, found.text) == ("ok", "fd://3: not asked")
