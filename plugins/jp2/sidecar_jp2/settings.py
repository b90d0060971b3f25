"""The settings of the plugin, read from the table `jp2` or from SIDECAR_JP2_* variables."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field as Setting
from pydantic import SecretStr, field_validator

from sidecar.plugin import Section


class Jp2Settings(Section):
    """The settings in the table `jp2`."""

    table: ClassVar[str] = "jp2"
    renamed: ClassVar[Mapping[str, str]] = {"index_memory": "index_memory_bytes", "index_disk": "index_disk_bytes"}

    library: str = ""
    """Path of the OpenJPEG library to use; empty: the newer of the system's and the one in Pillow's wheel."""
    alpha: Literal["auto", "keep", "drop"] = "auto"
    """Whether opacity channels are kept. `auto`: not if a Cantaloupe stands behind, whose OpenJpegProcessor drops
    them."""
    loss_db: float = Setting(0.1, ge=0, le=1)
    """Decibels by which a JPEG may show an image worse than one of all bits would (PSNR against a full decode, mean of
    the windows that are measured; 2.5 times as much in a single one): bits that the JPEG hides are not decoded, which
    is 1.4 to 2.6 times as fast. 0: every bit is decoded. PNG, JPEG of a quality from 95, bitonal, palettes, enlarged
    pictures and grey ones of coloured images are always exact."""
    index_memory_bytes: int = Setting(32 * 2**20, ge=0)
    """Bytes of packet indexes that a worker keeps in memory; an image of 80 MP takes some 50 to 100 KB."""
    index_folder: Path | None = None
    """Folder on a local disk for packet indexes, shared by workers and kept over restarts; empty: none."""
    index_disk_bytes: int = Setting(256 * 2**20, ge=0)
    """Bytes of packet indexes kept in that folder."""
    index_url: str = ""
    """Where packet indexes of files in remote storage are shared with other machines, beside `index_folder`:
    `redis://host:port/db` or `rediss://…` (Redis, Valkey), or `s3://bucket/prefix` with the service and the account of
    the table `s3`; empty: nowhere."""
    index_secret: SecretStr = SecretStr("")
    """A text by which machines that share packet indexes know those of each other: others are not read. Empty: whoever
    can write to that place is trusted."""

    @field_validator("index_url")
    @classmethod
    def _checked_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if value and not (parts.netloc and parts.scheme in ("redis", "rediss", "s3")):
            raise ValueError("it should begin with redis://, rediss:// or s3://, and a host or a bucket")
        try:
            parts.port  # noqa: B018  # raises
        except ValueError:  # its text would show a part of the password
            raise ValueError("it has no port that can be: in a password, write / as %2F, ? as %3F, # as %23") from None
        return value
