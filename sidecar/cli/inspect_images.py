"""`sidecar inspect`: what images are, what they cost to serve, and what would make them cheaper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import typer

from sidecar.cli.console import command, field, pairs, print_json, say, size, table
from sidecar.cli.named_images import files_below, suffixes_of
from sidecar.cli.setting_up import Loaded, loaded
from sidecar.errors import NotFound, SidecarError, StartError
from sidecar.http.inspection import Inspection, TileCost, inspect
from sidecar.plugin import Blob
from sidecar.render.one_file import FileBlob

_PIXELS: Final = 1e6


def execute(images: Sequence[str], *, measure: bool, json: bool) -> int:
    """Inspect images; returns the exit status. Raises StartError."""
    with loaded() as tools:
        found = [inspect(tools.service, blob, measure=measure) for blob in _blobs(tools, images)]
    if not found:
        raise StartError(f"no image is there: {' '.join(images)}")
    if json:
        print_json(found)
    elif len(found) == 1:
        show(found[0])
    else:
        show_all(found)
    return 3 if any(each.reason for each in found) else 0


def show(found: Inspection) -> None:
    """Print all that is known of an image."""
    say(found.name, bold=True)
    say()
    field("file", f"{size(found.file_bytes)} ({found.file_bytes:,} bytes)", found.path)
    if found.reason:
        field("not served", found.reason, found.problem, color=typer.colors.RED)
    if found.size is None:
        return
    _show_image(found)
    pairs([(fact.name, fact.value) for fact in found.facts], found.decoder)
    for tile in found.tiles:
        _show_tile(tile)
    field("to open", f"{found.open_milliseconds:g} ms, until the bytes of the first tile are known")
    if not found.advice and found.tiles:
        field("advice", "none: it is encoded well for serving", color=typer.colors.GREEN)
    for advice in found.advice:
        field("advice", f"{advice.reason}.", f"So: {advice.remedy}.", color=typer.colors.YELLOW)
        for line in advice.commands:
            command(line)


def _show_image(found: Inspection) -> None:
    assert found.size is not None  # noqa: S101  # checked by the caller
    pixels = f"{found.size.width} x {found.size.height} pixels ({found.size.area / _PIXELS:.3g} megapixels)"
    channels = {1: "grey", 2: "grey, opacity", 3: "colours", 4: "colours, opacity"}[found.channels]
    turned = f", shown turned (orientation {found.orientation})" if found.orientation != 1 else ""
    field("image", f"{pixels}, {channels}{turned}")
    field(
        "profile",
        f"{found.profile or 'without a name'}, {found.profile_bytes:,} bytes" if found.profile_bytes else "none",
    )
    levels = ", ".join(f"1:{level.downsample:g}" for level in found.levels)
    smallest = found.levels[-1].size
    field("levels", f"{len(found.levels)}: {levels}; the smallest has {smallest.width} x {smallest.height} pixels")


def _show_tile(tile: TileCost) -> None:
    measured = (
        ""
        if tile.milliseconds is None
        else f"{tile.milliseconds:g} ms of processor time, {size(tile.body_bytes)} sent; "
    )
    how = "in ranges" if tile.in_ranges else "by its library"
    read = f"{size(tile.read_bytes)} read {how}; " if tile.in_ranges or tile.milliseconds is not None else ""
    field("a tile", f"{tile.name}: {measured}{read}{size(tile.promised_bytes)} of memory promised")
    pairs([(f"  {fact.name}", fact.value) for fact in tile.facts])


def show_all(found: Sequence[Inspection]) -> None:
    """Print a line for each image, and what is advised for how many of them."""
    head = ("image", "size", "megapixels", "decoder", "bits/pixel", "1:1 ms", "1:4 ms", "memory", "advice")
    table(head, [_line(each) for each in found])
    reasons = {reason: sum(reason in _reasons(each) for each in found) for each in found for reason in _reasons(each)}
    say()
    for each in found:
        if each.reason:
            say(f"{each.name} is not served: {each.reason}: {each.problem}", typer.colors.RED)
    for reason, count in sorted(reasons.items(), key=lambda pair: -pair[1]):
        field(f"{count} of {len(found)}", reason)
    if reasons:
        say()
        say("`sidecar inspect FILE` on one of them has the commands.")


def _line(found: Inspection) -> Sequence[str]:
    if found.size is None:
        return (found.name, size(found.file_bytes), "", "", "", "", "", "", "not served")
    times = [f"{tile.milliseconds:g}" if tile.milliseconds is not None else "" for tile in found.tiles]
    full, quarter = [*times, "", ""][:2]
    memory = size(max(tile.promised_bytes for tile in found.tiles)) if found.tiles else ""
    advice = "not served" if found.reason else ("yes" if found.advice else "none")
    bits = f"{8 * found.file_bytes / found.size.area:.3g}"
    megapixels = f"{found.size.area / _PIXELS:.3g}"
    return (found.name, size(found.file_bytes), megapixels, found.decoder, bits, full, quarter, memory, advice)


def _reasons(found: Inspection) -> Sequence[str]:
    return [part for advice in found.advice for part in advice.reason.split("; ")]


def _blobs(tools: Loaded, images: Sequence[str]) -> Iterator[Blob]:
    """Yield the images that names lead to: files, then identifiers. Raises StartError if there is none of a name."""
    for name in images:
        path = Path(name)
        try:
            if path.is_dir():
                yield from (FileBlob.at(file) for file in files_below(path, suffixes_of(tools.registry.decoders)))
            else:
                yield FileBlob.at(path) if path.exists() else tools.service.blob(name)
        except NotFound as error:
            raise StartError(f"{name}: neither a file nor an identifier of an image") from error
        except SidecarError as error:
            raise StartError(f"{name}: {error}") from error
