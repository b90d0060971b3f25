"""The filesystem source under the contract that every source is held to."""

from __future__ import annotations

from pathlib import Path

import pytest
from sidecar_filesystem import FilesystemSettings, FilesystemSource
from sidecar_filesystem.place import locate

from sidecar.limits.threads import NativePool
from sidecar.testing.contracts.source import SourceContract, Store


class TestFilesystem(SourceContract):
    """A folder, with files beside it and links of all kinds in it."""

    @pytest.fixture
    def store(self, tmp_path: Path, native: NativePool) -> Store:
        """A root with a sibling whose name begins alike, and links that lead out and in circles."""
        root, sibling = tmp_path / "images", tmp_path / "images-private"
        for folder in (root, sibling):
            folder.mkdir()
        (sibling / "secret.jp2").write_bytes(b"secret")
        (tmp_path / "secret.jp2").write_bytes(b"secret")
        (root / "link.jp2").symlink_to(tmp_path / "secret.jp2")
        (root / "relative.jp2").symlink_to("../secret.jp2")
        (root / "way-out").symlink_to(sibling)
        (root / "chain.jp2").symlink_to("way-out/secret.jp2")
        (root / "circle.jp2").symlink_to("circle.jp2")
        (root / "root").symlink_to(root)
        place = locate(FilesystemSettings(root=str(root)))
        assert place is not None

        def put(identifier: str, content: bytes) -> None:
            path = root / identifier
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = tmp_path / "fresh"
            fresh.write_bytes(content)
            fresh.replace(path)

        outside = [
            *("link.jp2", "relative.jp2", "way-out/secret.jp2", "chain.jp2", "circle.jp2", "way-out", "root", "root/"),
            *("../secret.jp2", "../images-private/secret.jp2", "-private/secret.jp2", "folder/../../secret.jp2"),
            *("root/../../secret.jp2", "root/link.jp2", "..\\secret.jp2", "/etc/passwd", "//etc/passwd", "../images"),
            *(str(tmp_path / "secret.jp2"), str(root / "link.jp2"), "file:///etc/passwd", "~/.profile"),
        ]
        return Store(FilesystemSource(place, native), put, outside)
