"""A folder that exists only in a request: what the app loader reads when files were posted."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import IO, Any, cast

from midspan.kernel.errors import InvalidDefinition

MOST_FILES = 5_000


class MemoryFolder:
    """Files by path, with the part of ``Traversable`` that reading takes; immutable."""

    def __init__(self, files: Mapping[str, bytes], label: str, path: str = "") -> None:
        self._files = files
        self._label = label
        self._path = path

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self._path.rpartition("/")[2] or self._label

    def __str__(self) -> str:
        """Return how messages call this place."""
        return f"{self._label}/{self._path}" if self._path else self._label

    def is_file(self) -> bool:
        """Tell whether there is such a file."""
        return self._path in self._files

    def is_dir(self) -> bool:
        """Tell whether any file lies below."""
        return not self._path or any(name.startswith(f"{self._path}/") for name in self._files)

    def iterdir(self) -> Iterator[MemoryFolder]:
        """Yield what lies directly in this folder."""
        head = f"{self._path}/" if self._path else ""
        below = (name[len(head) :] for name in self._files if name.startswith(head))
        for child in sorted({name.partition("/")[0] for name in below}):
            yield MemoryFolder(self._files, self._label, head + child)

    def joinpath(self, *descendants: str) -> MemoryFolder:
        """Return a place below; it need not exist."""
        path = "/".join(part for part in (self._path, *descendants) if part)
        return MemoryFolder(self._files, self._label, path)

    def __truediv__(self, child: str) -> MemoryFolder:
        """Return a place below; it need not exist."""
        return self.joinpath(child)

    def read_bytes(self) -> bytes:
        """Return a file's content.

        Raises:
            FileNotFoundError: there is none.
        """
        try:
            return self._files[self._path]
        except KeyError:
            raise FileNotFoundError(str(self)) from None

    def read_text(self, encoding: str | None = None) -> str:
        """Return a file's content as text."""
        return self.read_bytes().decode(encoding or "utf-8")

    def open(self, mode: str = "r", *_: Any, **__: Any) -> IO[Any]:
        """Return a file's content as a stream that can only be read."""
        content = self.read_bytes()
        if "b" in mode:
            return io.BytesIO(content)
        return cast(IO[Any], io.StringIO(content.decode()))


def memory_folder(files: object, label: str) -> MemoryFolder:
    """Return the folder of posted files: texts by relative path.

    Raises:
        InvalidDefinition: not texts by path, too many, or a path that leaves the folder.
    """
    if not isinstance(files, dict) or not files:
        raise InvalidDefinition(
            "Expected files: an object of texts by path", hint='{"files": {"app.yaml": "name: …"}}'
        )
    if len(files) > MOST_FILES:
        raise InvalidDefinition(f"More than {MOST_FILES} files are not accepted")
    for path, content in files.items():
        parts = PurePosixPath(path).parts
        clean = str(PurePosixPath(path)) == path and ".." not in parts and "\\" not in path
        if not clean or path.startswith("/") or not isinstance(content, str):
            raise InvalidDefinition(f"{path[:200]!r} is no path of a text inside the app")
    return MemoryFolder({path: content.encode() for path, content in files.items()}, label)
