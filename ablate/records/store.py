"""A store that runs keep their records and checkpoints in, beside the folder that they are written to.

For machines that share no file system: any address that fsspec knows, such as `s3://bucket/studies`. A run's files are
copied there as its epochs complete, the record last, so what the store says of a run is always there. A machine that
resumes a run, or reports, reads from there.
"""

import hashlib
import json
import time
from contextlib import suppress
from pathlib import Path, PurePosixPath

from platformdirs import user_cache_path

from ablate.files import atomic_write
from ablate.messages import install_hint
from ablate.records.epochs import EPOCHS_FILE
from ablate.records.record import RECORD_FILE

# Where an upload shows only when it is whole; elsewhere a file is written under another name and renamed.
_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory"}
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}


def is_address(text: str) -> bool:
    """Whether a text is the address of a store, and not a path."""
    return "://" in text


class Store:
    """A folder of a store, by its address: `s3://bucket/folder`, `gs://bucket/folder`, or a local folder."""

    def __init__(self, address: str) -> None:
        import fsspec  # takes a tenth of a second

        self.address = address.rstrip("/")
        protocol = address.partition("://")[0] if is_address(address) else "file"
        try:
            self.fs, root = fsspec.core.url_to_fs(self.address, skip_instance_cache=True)
        except ImportError as error:
            extra = _EXTRAS.get(protocol)
            way_out = f"; {install_hint(extra)}" if extra else ""
            raise ValueError(f"store={address}: {error}{way_out}") from error
        except ValueError as error:
            raise ValueError(f"store={address}: {error}") from error
        self._root = PurePosixPath(root)
        self._renames = protocol not in _OBJECT_STORES

    def check(self) -> None:
        """Writes, reads and removes a small file; ValueError says why one of these cannot be done."""
        probe = f".ablate-{time.time_ns()}"
        try:
            self.write(probe, b"ablate")
            if self.read(probe) != b"ablate":
                raise OSError("what was written was not read back")
            self.remove(probe)
        except Exception as error:  # each store raises its own
            raise ValueError(
                f"store={self.address}: cannot be written to and read from ({reason(error)}); check the address, the "
                "credentials and the permissions"
            ) from error

    def read(self, key: str) -> bytes | None:
        """Returns a file, None if there is none."""
        with suppress(FileNotFoundError):
            return bytes(self.fs.cat_file(self._path(key)))
        return None

    def write(self, key: str, content: bytes) -> None:
        """Puts a file in the place of an older one, whole or not at all."""
        path = self._path(key)
        if not self._renames:
            self.fs.pipe_file(path, content)
            return
        self.fs.makedirs(str(PurePosixPath(path).parent), exist_ok=True)
        self.fs.pipe_file(f"{path}.part", content)
        self.fs.mv(f"{path}.part", path)

    def remove(self, key: str) -> None:
        """Removes a file, if there is one."""
        with suppress(FileNotFoundError):
            self.fs.rm_file(self._path(key))

    def files(self, pattern: str) -> dict[str, str]:
        """Returns the files that match a pattern, each with what changes when it does."""
        self.fs.invalidate_cache()
        found = self.fs.glob(self._path(pattern), detail=True)
        told = ("size", "ETag", "etag", "md5Hash", "LastModified", "mtime", "created")  # by one store or another
        return {
            str(PurePosixPath(path).relative_to(self._root)): str([info.get(name) for name in told])
            for path, info in found.items()
        }

    def _path(self, key: str) -> str:
        return str(self._root / key)


def mirror(address: str) -> Path:
    """Returns a local folder with what the store has of a study but for checkpoints; fetches what has changed."""
    store = Store(address)
    name = hashlib.sha256(store.address.encode()).hexdigest()[:16]
    folder = user_cache_path("ablate") / "stores" / name / PurePosixPath(store.address).name
    folder.mkdir(parents=True, exist_ok=True)
    index_file = folder.parent / "index.json"
    index: dict[str, str] = json.loads(index_file.read_text()) if index_file.is_file() else {}
    try:
        named = {
            key: version for name in (RECORD_FILE, EPOCHS_FILE) for key, version in store.files(f"**/{name}").items()
        }
        # Whoever can write to the store names the files in it: none of them may lead out of the folder.
        found = {key: version for key, version in named.items() if ".." not in PurePosixPath(key).parts}
        for key, version in found.items():
            if index.get(key) != version or not (folder / key).is_file():
                content = store.read(key)
                if content is not None:
                    (folder / key).parent.mkdir(parents=True, exist_ok=True)
                    with atomic_write(folder / key, "wb") as file:
                        file.write(content)
    except Exception as error:
        raise ValueError(f"{address}: cannot be read: {reason(error)}") from error
    if not found:
        raise ValueError(f"{address}: there are no runs in it")
    for key in index.keys() - found.keys():
        (folder / key).unlink(missing_ok=True)
    with atomic_write(index_file) as file:
        json.dump(found, file)
    return folder


def reason(error: BaseException | None) -> str:
    """Returns an error in a line."""
    return f"{type(error).__name__}: {error}".split("\n")[0] if error is not None else "no answer yet"
