"""`sidecar systemd`: the shipped files, with what differs between installations, and nothing else changed."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sidecar.cli import systemd_units
from sidecar.cli.systemd_units import COMMAND, PLACES, SETTINGS, closed, files, show
from sidecar.config import Settings
from sidecar.errors import StartError

SHIPPED = Path(__file__).parents[3] / "systemd"
BIND = Settings().bind
VENV = Path("/srv/iiif/venv/bin/sidecar")


def test_the_shipped_files_are_those_of_the_documented_place() -> None:
    """With the command at /opt/sidecar and no settings, the shipped files are what is printed, and nothing more."""
    made = files(Path(COMMAND), None, BIND)
    assert {name: made[place] for name, place in PLACES.items()} == {
        path.name: path.read_text(encoding="utf-8") for path in SHIPPED.iterdir()
    }


def test_what_differs_shows() -> None:
    """The command, the file of settings and the address are this installation's, at every place."""
    made = files(VENV, Path("/srv/iiif/sidecar.toml"), "127.0.0.1:9000, [::1]:9000,unix:/run/iiif/socket")
    service = made["systemd/system/sidecar.service"]
    assert f"ExecStart={VENV} serve\n" in service
    assert f"ExecReload={VENV} check\n" in service
    assert "Environment=SIDECAR_CONFIG=/srv/iiif/sidecar.toml\n" in service
    assert "z /srv/iiif/sidecar.toml 0640 root sidecar -\n" in made["tmpfiles.d/sidecar.conf"]
    streams = [line for line in made["systemd/system/sidecar.socket"].splitlines() if line.startswith("ListenStream")]
    assert streams == ["ListenStream=127.0.0.1:9000", "ListenStream=[::1]:9000", "ListenStream=/run/iiif/socket"]
    assert not any(shipped in text for text in made.values() for shipped in (COMMAND, SETTINGS, "8183"))


@pytest.mark.parametrize(
    "bind, stream", [(":8183", "8183"), ("localhost:8183", "127.0.0.1:8183"), ("0.0.0.0:80", "0.0.0.0:80")]
)
def test_addresses_are_written_as_systemd_reads_them(bind: str, stream: str) -> None:
    """A port alone, and the name of this machine, which systemd does not look up."""
    assert f"\nListenStream={stream}\n" in files(VENV, None, bind)["systemd/system/sidecar.socket"]


@pytest.mark.parametrize(
    "command, bind", [("/a folder/sidecar", BIND), ("/opt/100%/sidecar", BIND), (COMMAND, "images.example:8183")]
)
def test_what_systemd_cannot_read_is_refused(command: str, bind: str) -> None:
    """Rather than a unit that means something else, or a socket at a name that nobody resolves."""
    with pytest.raises(StartError):
        files(Path(command), None, bind)


def test_variables_of_the_operator_stay(tmp_path: Path) -> None:
    """Written again, all files are new but the one that the operator fills."""
    made = files(VENV, None, BIND)
    show(made, tmp_path)
    for place in made:
        (tmp_path / place).write_text("mine", encoding="utf-8")
    show(made, tmp_path)
    kept = [place for place in made if (tmp_path / place).read_text(encoding="utf-8") == "mine"]
    assert kept == [systemd_units.OPERATORS]


def test_a_closed_folder_is_found(tmp_path: Path) -> None:
    """A command below a folder that is its owner's alone cannot be run by the service's user."""
    folder = tmp_path / "home" / "venv"
    folder.mkdir(parents=True)
    folder.parent.chmod(0o700)
    assert closed(folder / "sidecar") in (folder.parent, *folder.parent.parents)
    assert closed(Path("/usr/bin/env")) is None


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze")
def test_systemd_takes_what_is_written(tmp_path: Path) -> None:
    """The unit and its socket, for a command that exists, are valid."""
    made = files(Path(shutil.which("true") or ""), None, "127.0.0.1:9000,unix:/run/iiif/socket")
    show(made, tmp_path)
    command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", "sidecar.service", "sidecar.socket"]
    done = subprocess.run(
        command, cwd=tmp_path / "systemd" / "system", capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
