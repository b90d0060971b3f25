"""A whole site on a fresh system: systemd's unit and nginx, set up as the docs say, and a picture in Chromium."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Final

from sidecar.server import landlock
from tests.browser.browser import VIEW, Tab, chromium, started
from tests.nginx.peers import HOST, ask
from tests.nginx.servers import free_port, wait_for
from tests.packaging import roots
from tests.packaging.booted import Booted, booted
from tests.packaging.wheels import IMAGE, say

PACKAGES: Final = ("dbus", "nginx-light", "systemd")
SIDECAR: Final = "/opt/sidecar/bin/sidecar"
TOML: Final = "/etc/sidecar/sidecar.toml"
IMAGES: Final = "/srv/images"
UNIT: Final = "sidecar.service"
EXPOSURE: Final = 2.0
"""As `systemd-analyze security` counts it."""
SITE: Final = """include sidecar/sidecar.conf;
server {{
    listen {host}:{port};
    include sidecar/sidecar-locations.conf;
    include sidecar/cantaloupe.conf;
    # The sidecar's own pages, for people on this machine.
    location /sidecar/ {{
        proxy_pass http://sidecar;
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        proxy_set_header Host $http_host;
    }}
}}
"""


def set_up(root: Path, port: int) -> None:
    """Install nginx and let the sidecar write all files, as its docs say. Raises CalledProcessError."""
    roots.run(root, ["apt-get", "install", "-q", "-y", "--no-install-recommends", *PACKAGES])
    (root / IMAGES[1:]).mkdir(parents=True, exist_ok=True)
    shutil.copy(IMAGE, root / IMAGES[1:])
    roots.run(root, [SIDECAR, "init", TOML, "--no-ask"])
    file = root / TOML[1:]
    answers = {"bind": f"{HOST}:{free_port()}", "root": IMAGES}
    text = file.read_text(encoding="utf-8")
    for name, value in answers.items():
        text, count = re.subn(rf"^# {name} =.*", f'{name} = "{value}"', text, flags=re.MULTILINE)
        assert count == 1, name
    file.write_text(text, encoding="utf-8")
    roots.run(root, [SIDECAR, "systemd", "--config", TOML, "--into", "/etc"])
    roots.run(root, [SIDECAR, "nginx", "--config", TOML, "--into", "/etc/nginx/sidecar"])
    (root / "etc/nginx/sites-enabled/default").unlink()
    (root / "etc/nginx/sites-enabled/iiif").write_text(SITE.format(host=HOST, port=port), encoding="utf-8")


def check(root: Path) -> None:
    """Boot the system, start the unit, and look at a picture. Raises Unreached, CalledProcessError, AssertionError."""
    port = free_port()
    set_up(root, port)
    with booted(root) as system:
        start(system)
        wait_for(lambda: ask(port, "/sidecar/ready").status == 200, "the workers serve")
        shown = root.with_suffix(".png")
        look(port, shown)
        say(f"  systemd and nginx serve, as {shown} shows")
        reload(system, root, port)


def start(system: Booted) -> None:
    """Make the user, start the unit, and see how it is shut in. Raises CalledProcessError, AssertionError."""
    system.run("systemd-sysusers")
    system.run("systemd-tmpfiles", "--create")
    system.run("systemctl", "enable", "--now", "sidecar.socket", UNIT)
    assert system.run("stat", "--format", "%U:%G %a", TOML) == "root:sidecar 640\n"
    (main,) = system.run("systemctl", "show", "--value", "--property", "MainPID", UNIT).split()
    assert system.run("stat", "--format", "%U", f"/proc/{main}") == "sidecar\n"
    (exposure,) = re.findall(
        r"Overall exposure level for \S+: ([\d.]+)", system.run("systemd-analyze", "security", "--no-pager", UNIT)
    )
    assert float(exposure) <= EXPOSURE
    say(f"  systemd {system.run('systemctl', '--version').split()[1]} counts an exposure of {exposure}")


def look(port: int, shown: Path) -> None:
    """Open the image in the viewer, through nginx, and keep what it looks like. Raises AssertionError."""
    if not chromium():
        say("  without Chromium nobody looks at it")
        return
    with started() as browser:
        page = browser.new_page(viewport=VIEW)
        tab = Tab(page, port)
        tab.view(IMAGE.name)
        page.screenshot(path=shown)
        assert tab.tiles(f"/iiif/3/{IMAGE.name}"), tab.requested
        assert len(set(tab.picture(".pane").resize((64, 64)).get_flattened_data())) > 1000, "nothing is drawn"
        assert tab.complaints == []


def reload(system: Booted, root: Path, port: int) -> None:
    """Reload with a setting that is wrong, and with a right one: what runs goes on. Raises AssertionError."""
    file = root / TOML[1:]
    text = file.read_text(encoding="utf-8")
    for wrong in (True, False):
        file.write_text(f"{'workers = 0' if wrong else 'workers = 1'}\n{text}", encoding="utf-8")
        done = system.attempt("systemctl", "reload", UNIT)
        journal = system.run("journalctl", "--unit", UNIT, "--output", "cat")
        assert bool(done.returncode) == wrong, journal
        assert ask(port, "/sidecar/ready").status == 200
    assert "SIDECAR_WORKERS" in journal, "the journal does not say what is wrong"
    assert '"event": "sandboxed"' in journal or not landlock.abi(), "the workers are not sandboxed"
    say("  a reload is refused for a wrong setting, and done for a right one")
