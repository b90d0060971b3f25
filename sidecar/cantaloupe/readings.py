"""Readings of single keys: what a value means as a setting of ours, and whether it asks for what the sidecar lacks.

Each takes all properties and the key, so that the table of keys can name it; defaults are Cantaloupe's for a missing
key, which are not those of its sample file.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, TypeAlias, get_args
from urllib.parse import urlsplit

from PIL import ImageColor

from sidecar.cantaloupe.properties import Properties
from sidecar.config import Settings

Reading: TypeAlias = Callable[[Properties, str], object]
Test: TypeAlias = Callable[[Properties, str], bool]

_FILTERS: Final = frozenset(get_args(Settings.model_fields["downscale_filter"].annotation))
_DOWNSCALE: Final = "box"
_UPSCALE: Final = "bicubic"
_OPAQUE: Final = 255
_NO_PREFIX: Final = "?"
"""In place of a prefix: no URL can begin so."""
_ANY_HOST: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # nothing listens here
"""Hosts that stand for every address of the machine, and the one that is asked then."""
_PREFIX: Final = re.compile(r"[A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*")


def text(default: str = "") -> Reading:
    return lambda properties, key: properties.text(key, default)


def whole(default: int) -> Reading:
    return lambda properties, key: properties.whole(key, default)


def real(default: float) -> Reading:
    return lambda properties, key: properties.real(key, default)


def flag(*, default: bool) -> Reading:
    return lambda properties, key: properties.flag(key, default)


def nonempty(properties: Properties, key: str) -> str | None:
    """Return the text, or None to leave our default."""
    return properties.text(key) or None


def present(properties: Properties, key: str) -> bool:
    """Report whether there is a value."""
    return bool(properties.text(key))


def on(properties: Properties, key: str) -> bool:
    """Report whether the key is present and true."""
    return properties.flag(key, default=False)


def equal(value: str) -> Test:
    """Report whether the text is this one."""
    return lambda properties, key: properties.text(key) == value


def unless(*known: str) -> Test:
    """Report whether the text is none of these; Cantaloupe takes a class with its package or without."""
    return lambda properties, key: class_name(properties.text(key)) not in known


def class_name(name: str) -> str:
    """Return a Java class without its package."""
    return name.rpartition(".")[2]


def endpoints(properties: Properties, _key: str) -> tuple[str, ...]:
    """Return the versions of the Image API that are enabled and known here."""
    return tuple(version for version in "23" if properties.flag(f"endpoint.iiif.{version}.enabled", default=True))


def prefix(properties: Properties, _key: str) -> str | None:
    """Return what stands before `/iiif/` in URLs: as the endpoints' paths have it, or as `base_uri`; None: nothing."""
    keys = {version: f"endpoint.iiif.{version}.path" for version in endpoints(properties, "")}
    if any(present(properties, key) for key in keys.values()):
        paths = [_before(properties.text(key, f"/iiif/{version}"), version) for version, key in keys.items()]
    else:
        paths = [urlsplit(properties.text("base_uri")).path.strip("/")]
    (text, *others) = {*paths}
    return f"/{text}" if not others and _PREFIX.fullmatch(text) else None


def other_path(properties: Properties, key: str) -> bool:
    """Report whether an endpoint has a path that does not end as `/iiif/3`."""
    return present(properties, key) and _before(properties.text(key), key.split(".")[2]) == _NO_PREFIX


def _before(path: str, version: str) -> str:
    """Return what stands before `iiif/3`, without slashes at its ends."""
    end = f"/iiif/{version}"
    whole = f"/{path.strip('/')}"
    return whole.removesuffix(end).strip("/") if whole.endswith(end) else _NO_PREFIX


def own_url(properties: Properties, _key: str) -> str | None:
    """Return where Cantaloupe listens (`ApplicationServer.java`), asked from this machine; None without plain HTTP.

    Its certificate for HTTPS would hardly name this address, so `https.*` says nothing.
    """
    if not properties.flag("http.enabled", default=False):
        return None
    host = properties.text("http.host", "0.0.0.0").strip("[]")  # noqa: S104  # Cantaloupe's, not ours
    host = _ANY_HOST.get(host, host)
    return f"http://{f'[{host}]' if ':' in host else host}:{properties.whole('http.port', 8182)}"


def cache_control(properties: Properties, _key: str) -> str:
    """Return the Cache-Control that Cantaloupe would send (`resource/PublicResource.java`), directives in its order."""
    if not properties.flag("cache.client.enabled", default=False):
        return ""
    ages = {"max_age": "max-age", "shared_max_age": "s-maxage"}
    directives = [
        f"{directive}={age}" for name, directive in ages.items() if (age := properties.text(f"cache.client.{name}"))
    ]
    if properties.flag("cache.client.public", default=True):
        directives.append("public")
    elif properties.flag("cache.client.private", default=False):
        directives.append("private")
    names = ("no_cache", "no_store", "must_revalidate", "proxy_revalidate", "no_transform")
    directives += [name.replace("_", "-") for name in names if properties.flag(f"cache.client.{name}", default=False)]
    return ", ".join(directives)


def color(properties: Properties, key: str) -> str | None:
    """Return the background as `#rrggbb`; white, as in Cantaloupe, if there is none."""
    parsed = _rgba(properties.text(key, "white"))
    return None if parsed is None else "#{:02x}{:02x}{:02x}".format(*parsed[:3])


def uncertain_color(properties: Properties, key: str) -> bool:
    """Report whether the background is no colour, or not opaque."""
    parsed = _rgba(properties.text(key, "white"))
    return parsed is None or parsed[3] != _OPAQUE


def _rgba(name: str) -> tuple[int, ...] | None:
    """Return red, green, blue and alpha of what Cantaloupe takes for a colour (`operation/Color.java`).

    Its short form multiplies by 16 (CSS by 17), and its alpha goes to 255 (in CSS to 1).
    """
    if found := re.fullmatch(r"#([0-9a-fA-F]{3,4})", name):
        return _with_alpha(*(int(digit, 16) * 16 for digit in found[1]))
    if found := re.fullmatch(r"#((?:[0-9a-fA-F]{2}){3,4})", name):
        return _with_alpha(*bytes.fromhex(found[1]))
    if found := re.fullmatch(r"rgba?\((\d{1,3}),(\d{1,3}),(\d{1,3})(?:,(\d{1,3}))?\)", name.replace(" ", "")):
        return _with_alpha(*(int(part) for part in found.groups() if part))
    if re.fullmatch(r"[a-z]+", name) and name in ImageColor.colormap:
        return _with_alpha(*ImageColor.getrgb(name))
    return None


def _with_alpha(*parts: int) -> tuple[int, ...] | None:
    return (*parts, _OPAQUE)[:4] if max(parts) <= _OPAQUE else None


def downscale_filter(properties: Properties, key: str) -> str | None:
    """Return the filter, if the sidecar has it."""
    name = properties.text(key, _DOWNSCALE).lower()
    return name if name in _FILTERS else None


def unknown_filter(properties: Properties, key: str) -> bool:
    """Report whether the sidecar lacks the filter."""
    return downscale_filter(properties, key) is None


def other_upscale_filter(properties: Properties, key: str) -> bool:
    """Report whether images may be enlarged, and with another filter than they are reduced with."""
    enlarged = not 0 < properties.real("max_scale", 1.0) <= 1
    down = properties.text("processor.downscale_filter", _DOWNSCALE)
    return enlarged and properties.text(key, _UPSCALE).lower() != down.lower()


def overlaid(properties: Properties, key: str) -> bool:
    """Report whether overlays of the basic strategy are on, and that strategy is the one in use."""
    basic = properties.text("overlays.strategy", "BasicStrategy") == "BasicStrategy"
    return basic and properties.flag(key, default=False)


def sharpened(properties: Properties, key: str) -> bool:
    """Report whether there is any sharpening; the threshold is Cantaloupe's."""
    return properties.real(key, 0.0) > 0.001  # noqa: PLR2004 - operation/OperationList.java
