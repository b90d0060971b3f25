"""Ways out of the folder that is served: spellings, links, formats with companion files; and ways around a guard."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

from tests.resilience.attack.attack import Attack, Outcome, Setup
from tests.resilience.attack.ground import SECRET, SECRET_SIZE, Ground
from tests.resilience.attack.wire import Reply, fetch

SPELLINGS: Final = (
    "..%2Fsecret.jp2",
    "%2E%2E%2Fsecret.jp2",
    "..%2fsecret%2Ejp2",
    "..%252Fsecret.jp2",
    "%252E%252E%252Fsecret.jp2",
    "sub%2F..%2F..%2Fsecret.jp2",
    "tiled_512.jp2%2F..%2F..%2Fsecret.jp2",
    "....%2F%2Fsecret.jp2",
    "..;%2Fsecret.jp2",
    "..%5Csecret.jp2",
    "..%C0%AFsecret.jp2",
    "..%E0%80%AFsecret.jp2",
    "..%EF%BC%8Fsecret.jp2",
    "%EF%BC%8E%EF%BC%8E%2Fsecret.jp2",
    "..%2Fsecret.jp2%00.jp2",
    "..%2Fsecret.jp2;1",
    "..%2Fsecret.jp2;1;1:2",
    "%2F..%2Fsecret.jp2",
    "file:%2F%2F%2F{folder}%2Fsecret.jp2",
    "{folder}%2Fsecret.jp2",
    ".%2F..%2Fsecret.jp2",
    "%2e%2e+%2Fsecret.jp2",
)
RESTS: Final = ("info.json", "full/max/0/default.jpg", "full/max/0/default.png")
GUARDED: Final = (
    "guarded.jp2",
    "%67uarded.jp2",
    "guarded%2Ejp2",
    "%67%75%61%72%64%65%64%2e%6a%70%32",
    "guarded.jp2;1",
    "guarded.jp2%3B1",
    "guarded.jp2;1;1:2",
    ".%2Fguarded.jp2",
    "sub%2F..%2Fguarded.jp2",
    "%2Fguarded.jp2",
    "%2F%2Fguarded.jp2",
    "guarded.jp2%2F",
    "guarded.jp2%00",
    "guarded.jp2%20",
    "guarded.jp2+",
    "GUARDED.jp2",
    "%2567uarded.jp2",
    "guarded.jp2%3Fa",
    "guarded.jp2%23a",
)
SWITCHES: Final = 150
FACE: Final = (7, 200, 30)
"""The colour of a stranger's photograph."""


def _reveals(reply: Reply, size: tuple[int, int] = SECRET_SIZE) -> bool:
    """Report whether an answer shows something of an image of this size that nobody should see."""
    if reply.status == 200 and reply.kind.startswith("image/"):
        return True
    told = reply.body.replace(b" ", b"")
    return b'"width":%d,"height":%d' % size in told or b'"width":%d' % size[0] in told


def _spelled(ground: Ground) -> Iterator[str]:
    folder = str(ground.outside).replace("/", "%2F")
    for identifier, rest, version in product(SPELLINGS, RESTS, (2, 3)):
        yield f"/iiif/{version}/{identifier.replace('{folder}', folder)}/{rest}"


def traversal(ground: Ground) -> Outcome:
    """Ask for the secret in every spelling, through nginx and of the sidecar itself."""
    targets = [*_spelled(ground)]
    faults = [
        f"{target} shows the secret"
        for target in targets
        for port in (ground.port, ground.sidecar.port)
        # Not kept: a text may repeat what the client itself has named.
        if _reveals(fetch(port, target))
    ]
    return Outcome(2 * len(targets), faults, "no answer shows the file beside the root")


def links(ground: Ground) -> Outcome:
    """Put links into the root that lead out, and one that changes all the time between a picture and the secret."""
    root = ground.images
    (root / "file.jp2").symlink_to(ground.outside / SECRET)
    (root / "folder").symlink_to(ground.outside)
    (root / "up").symlink_to("..")
    (root / "twice.jp2").symlink_to("file.jp2")
    fixed = ["file.jp2", "folder%2Fsecret.jp2", "up%2Fsecret.jp2", "twice.jp2", "folder%2Fimages%2Ffolder%2Fsecret.jp2"]
    faults, tries = [], 0
    for name, rest in product(fixed, RESTS):
        tries += 1
        if _reveals(ground.ask(f"/iiif/3/{name}/{rest}")):
            faults.append(f"{name} leads out")
    over, switched = threading.Event(), root / "switched.jp2"

    def switch() -> None:
        turn = 0
        while not over.is_set():
            turn += 1
            fresh = root / f"fresh-{turn % 2}"
            fresh.unlink(missing_ok=True)
            fresh.symlink_to((ground.outside / SECRET, root / "tiled_512.jp2")[turn % 2])
            fresh.replace(switched)
            time.sleep(0.001)

    switching = threading.Thread(target=switch)
    switching.start()
    for turn in range(SWITCHES):
        reply = ground.ask(f"/iiif/3/switched.jp2/{('info.json', 'full/57,/0/default.jpg')[turn % 2]}")
        if b'"width":%d' % SECRET_SIZE[0] in reply.body.replace(b" ", b""):
            faults.append("a link that changes shows the secret")
    over.set()
    switching.join()
    return Outcome(tries + SWITCHES, sorted({*faults}), "links out are no images")


def companions(ground: Ground) -> Outcome:
    """Write slides that name files outside of the root, absolute, upwards, by a link and by a folder's link."""
    picture = np.full((768, 1024, 3), FACE, np.uint8)
    photograph = ground.outside / "face.jpg"
    # Hamamatsu's JPEGs have restart markers, without which OpenSlide takes none.
    Image.fromarray(picture).save(photograph, quality=95, restart_marker_rows=1, subsampling=0)
    (ground.images / "map.jpg").write_bytes(photograph.read_bytes())
    (ground.images / "link.jpg").symlink_to(photograph)
    (ground.images / "away").symlink_to(ground.outside)
    names = ["../face.jpg", str(photograph), "link.jpg", "away/face.jpg", "./../face.jpg", "a/../../face.jpg"]
    faults = []
    for number, name in enumerate(names):
        for key in ("ImageFile", "ImageFile(0,0)"):
            path = ground.images / f"slide{number}{len(key)}.vms"
            path.write_text(
                "[Virtual Microscope Specimen]\nNoLayers=1\nNoJpegColumns=1\nNoJpegRows=1\n"
                f"MapFile=map.jpg\n{key}={name}\n"
            )
            for rest in RESTS:
                reply = ground.ask(f"/iiif/3/{path.name}/{rest}")
                if reply.kind.startswith(("image/", "application/")) and reply.status == 200:
                    faults.append(f"{key}={Path(name).name if name[0] == '/' else name} shows a stranger's photograph")
    return Outcome(2 * len(names) * len(RESTS), sorted({*faults}), "companion files out of the root are refused")


def guard(ground: Ground) -> Outcome:
    """Ask for images that only Cantaloupe may answer, since a delegate guards them, in many spellings."""
    (ground.images / "guarded.jp2").write_bytes((ground.images / "tiled_512.jp2").read_bytes())
    faults, tries = [], 0
    for name, rest, version in product((*GUARDED, "tiled_512.jp2"), RESTS, (2, 3)):
        tries += 1
        reply = ground.ask(f"/iiif/{version}/{name}/{rest}")
        if reply.kind.startswith("image/") or b'"width"' in reply.body:
            faults.append(f"{name}/{rest} is answered without the delegate")
    return Outcome(tries, faults, "every request was Cantaloupe's")


ATTACKS: Final = (
    Attack("identifiers that lead out, 22 spellings", "paths", "no byte of the file beside the root", traversal),
    Attack("links out of the root, one of them changing", "paths", "no byte of the file beside the root", links),
    Attack("companion files out of the root (VMS)", "paths", "refused or handed over", companions),
    Attack(
        "guarded images in 19 spellings",
        "trust",
        "handed over, whatever the spelling",
        guard,
        Setup(toml='guarded = "delegate"\n'),
    ),
)
