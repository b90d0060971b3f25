"""`make wheels-test`: the wheels work where nothing of this checkout is, and so do the examples.

    python -m tests.packaging.wheels dist

makes a virtual environment in a temporary folder, installs the wheels of the folder named and the examples, serves a
picture from there, and runs the examples through their contracts.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import venv
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from PIL import Image

from tests.nginx.peers import HOST, ask
from tests.nginx.servers import Process, free_port, wait_for

ROOT: Final = Path(__file__).parents[2]
IMAGE: Final = ROOT / "tests" / "data" / "images" / "tiled_512.jp2"
SIZE: Final = (2000, 1500)
EXAMPLES: Final = sorted(path.parent for path in (ROOT / "examples").glob("*/pyproject.toml"))
OUTSIDE: Final[Mapping[str, str]] = {
    name: value for name, value in os.environ.items() if not name.startswith(("SIDECAR_", "PYTHON", "PIP_TARGET"))
}
"""The environment, without what could lead back to the checkout."""


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def install(python: Path, *arguments: str) -> None:
    """Install with pip. Raises CalledProcessError."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", *arguments]
    subprocess.run(command, check=True, env=OUTSIDE)


def check_equal(wheels: Path, folder: Path) -> None:
    """Build the wheels again, at the same SOURCE_DATE_EPOCH, and compare the bytes. Raises AssertionError."""
    first = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in wheels.glob("*.whl")}
    projects = [".", *(f"./{path.parent.relative_to(ROOT)}" for path in sorted(ROOT.glob("plugins/*/pyproject.toml")))]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "wheel", "--quiet", "--no-deps"]
    command.append("--no-build-isolation")
    subprocess.run([*command, "--wheel-dir", str(folder), *projects], check=True, cwd=ROOT)
    second = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.glob("*.whl")}
    assert first == second, "building the wheels twice gives different bytes"
    assert len(first) == len(projects), sorted(first)


def check_all(python: Path, wheels: Path) -> None:
    """Compare what `iiif-sidecar[all]` has brought with the folder of wheels. Raises AssertionError."""
    command = [str(python), "-m", "pip", "--disable-pip-version-check", "list", "--format", "json"]
    listed = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, env=OUTSIDE).stdout)
    ours = {(each["name"], each["version"]) for each in listed if each["name"].startswith("iiif-sidecar")}
    built = {tuple(path.name.split("-")[:2]) for path in wheels.glob("*.whl")}
    assert {(name.replace("-", "_"), version) for name, version in ours} == built, "iiif-sidecar[all] is not all"


def check_site(scripts: Path, folder: Path) -> None:
    """Let the installed command write nginx's site; compare it with the shipped files. Raises AssertionError."""
    command = [str(scripts / "sidecar"), "nginx", "--into", str(folder)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=OUTSIDE, cwd=folder.parent)
    written, shipped = ({path.name: path.read_bytes() for path in site.iterdir()} for site in (folder, ROOT / "nginx"))
    assert written == shipped, "the wheel's nginx site is not the one of the checkout"


def serve_a_picture(scripts: Path, folder: Path) -> None:
    """Start the installed sidecar over a folder with one image, and ask for a picture of it. Raises AssertionError."""
    images = folder / "images"
    images.mkdir()
    shutil.copy(IMAGE, images / "7e3c2f0a")  # without a suffix: recognized by its first bytes
    port = free_port()
    environment = {**OUTSIDE, "SIDECAR_BIND": f"{HOST}:{port}", "SIDECAR_FILESYSTEM_ROOT": str(images)}
    process = Process([str(scripts / "sidecar"), "serve"], folder / "sidecar.log", environment)
    try:
        wait_for(lambda: not process.running or answers(port), "the sidecar answers")
        assert process.running, process.log.read_text()
        info = json.loads(ask(port, "/iiif/3/7e3c2f0a/info.json").body)
        assert (info["width"], info["height"]) == SIZE, info
        assert {"webp", "avif", "gif"} == {*info["extraFormats"]}, info
        for end in ("jpg", "png", "webp", "avif", "gif"):
            response = ask(port, f"/iiif/3/7e3c2f0a/512,512,512,512/256,/0/default.{end}")
            assert response.status == 200, (end, response.status, response.text)
            with Image.open(io.BytesIO(response.body)) as picture:
                assert picture.size == (256, 256)
        for path in ("/sidecar/", "/sidecar/viewer?id=7e3c2f0a", "/sidecar/static/openseadragon.min.js"):
            assert ask(port, path).status == 200, path
    finally:
        process.stop(signal.SIGINT)


def answers(port: int) -> bool:
    """Report whether the sidecar answers."""
    try:
        return ask(port, "/sidecar/health").status == 200
    except OSError:
        return False


def main(wheels: Path) -> None:
    """Check everything; the status is 1 if something is wrong."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home)
        say("Building the wheels a second time")
        check_equal(wheels, folder / "again")
        say("Installing the wheels and the examples in a new environment")
        environment = folder / "venv"
        venv.create(environment, with_pip=True)
        scripts = environment / "bin"
        python = scripts / "python"
        install(python, "--find-links", str(wheels), "iiif-sidecar[all]")
        check_all(python, wheels)
        subprocess.run([str(scripts / "sidecar"), "--version"], check=True, env=OUTSIDE, cwd=folder)
        check_site(scripts, folder / "site")
        install(python, "--find-links", str(wheels), *(f"{path}[test]" for path in EXAMPLES))
        found = subprocess.run(
            [str(python), "-c", "import sidecar; print(sidecar.__file__)"],
            check=True,
            capture_output=True,
            text=True,
            env=OUTSIDE,
            cwd=folder,
        ).stdout
        assert found.startswith(str(folder)), found
        say("Serving a picture")
        serve_a_picture(scripts, folder)
        for path in EXAMPLES:
            say(f"The contract of {path.name}")
            tests = folder / path.name
            shutil.copytree(path / "tests", tests)
            command = [str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", str(tests)]
            subprocess.run(command, check=True, env=OUTSIDE, cwd=folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve())
