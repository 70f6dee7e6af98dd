"""Checkpoints behind URLs, by the real clients, from servers on this machine that fail now and then and count bytes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save

import setol_ww as ww
from fixtures.hub_server import COMMIT, serving
from setol_ww.core.errors import ChangedCheckpoint, InvalidInput, UnreadableCheckpoint
from setol_ww.formats import remote, urls
from setol_ww.formats.checkpoints import checkpoint_tensors
from setol_ww.formats.places import place_of
from setol_ww.formats.reader import forget, opened
from setol_ww.formats.remote import RemotePath

ROWS, COLUMNS = 200, 300
LAYER = ROWS * COLUMNS * 4
NAMES = [f"layers.{number}.fc.weight" for number in range(6)]
TWO = ["layers.1.*", "layers.4.*"]
# A header is fetched by a block, and a file by a request that the client may ask twice.
LITTLE = 2 * remote.BLOCK + 4000


@pytest.fixture(autouse=True)
def _anew(monkeypatch):
    monkeypatch.setattr(remote, "WAITS", (0.0, 0.0, 0.0, 0.0))
    forget()
    yield
    forget()


def sharded() -> dict[str, bytes]:
    """Six layers in two shards, with index and config."""
    rng = np.random.default_rng(5)
    layers = {name: rng.normal(size=(ROWS, COLUMNS)).astype(np.float32) for name in NAMES}
    shards = {name: f"model-{1 + position // 3:05d}-of-00002.safetensors" for position, name in enumerate(NAMES)}
    files = {
        file: save({name: layers[name] for name in NAMES if shards[name] == file}) for file in set(shards.values())
    }
    index = json.dumps({"metadata": {}, "weight_map": shards}).encode()
    return {**files, "model.safetensors.index.json": index, "config.json": b'{"model_type": "llama"}'}


def written(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def local(tmp_path):
    return written(tmp_path / "local", sharded())


@pytest.fixture
def hub():
    with serving({"org/net": sharded()}) as found:
        yield found


@pytest.fixture
def client(hub, tmp_path, monkeypatch):
    """huggingface_hub, told of the server as HF_ENDPOINT tells it when it is imported, with a cache of its own."""
    found = pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed (extra remote)")
    constants = pytest.importorskip("huggingface_hub.constants")
    for name, value in {
        "ENDPOINT": hub.url,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.url + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HUB_CACHE": str(tmp_path / "cache"),
        "HF_HUB_OFFLINE": False,
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("setol_ww.formats.hub._files", {})
    return found


@pytest.fixture
def web(hub):
    pytest.importorskip("aiohttp", reason="aiohttp is not installed (extra remote)")
    return f"{hub.url}/plain/org/net"


def rows(source, **options):
    frame = ww.scan(source, progress=False, **options)
    return frame[["longname", "N", "M", "alpha", "erg_rank", "status", "reason", "layout"]]


def weights_sent(hub) -> int:
    return sum(size for file, size in hub.sent.items() if file.endswith(".safetensors"))


def same(found, wanted) -> bool:
    return found.equals(wanted)


def test_two_layers_of_a_sharded_model_cost_little_more_than_these_two(client, hub, local, tmp_path):
    found = rows("hf://org/net", layers=TWO)
    assert same(found, rows(local, layers=TWO))
    assert (found["status"] == "analyzed").sum() == 2
    assert 2 * LAYER <= weights_sent(hub) <= 2 * LAYER + 2 * LITTLE
    assert not (tmp_path / "cache").exists()


def test_two_layers_from_a_web_server_cost_little_more_than_these_two(web, hub, local):
    assert same(rows(f"{web}/model.safetensors.index.json", layers=TWO), rows(local, layers=TWO))
    assert 2 * LAYER <= weights_sent(hub) <= 2 * LAYER + 2 * LITTLE


def test_an_analysis_fetches_every_tensor_once(web, hub, local):
    name = "model-00001-of-00002.safetensors"
    assert ww.analyze(f"{web}/{name}").equals(ww.analyze(local / name))
    assert 3 * LAYER <= weights_sent(hub) <= 3 * LAYER + 2 * LITTLE


def test_what_is_handed_out_is_the_callers_own(web):
    reader = opened(f"{web}/model-00001-of-00002.safetensors")
    first = reader.read(NAMES[0])
    kept = first.clone()
    first[:] = 0
    assert reader.read(NAMES[0]).equal(kept)


def test_two_layers_are_compared_for_what_these_two_cost(client, hub, local):
    forget()
    hub.sent.clear()
    table = ww.compare(local, "hf://org/net", layers=TWO).table()
    assert table["update_norm"].tolist() == [0.0, 0.0]
    assert 2 * LAYER <= weights_sent(hub) <= 2 * LAYER + 2 * LITTLE


def test_a_hub_that_fails_now_and_then_gives_the_same_rows(client, hub, local):
    hub.failures = [503, None, "cut", 502, None, "cut", None, None, "cut", 429, None, None, "cut"]
    assert same(rows("hf://org/net", layers=TWO), rows(local, layers=TWO))
    assert not hub.failures


def test_a_web_server_that_fails_now_and_then_gives_the_same_rows(web, hub, local):
    hub.failures = [None, 503, 503, "cut", None, 503, None, None, "cut"]
    assert same(rows(f"{web}/model.safetensors.index.json", layers=TWO), rows(local, layers=TWO))
    assert not hub.failures


def test_a_tensor_that_broke_off_goes_on_where_it_stopped(client, hub, local):
    reader = opened(place_of("hf://org/net/model-00001-of-00002.safetensors"))
    hub.sent.clear()
    hub.failures = [None, "cut", None, "cut"]
    values = reader.read(NAMES[1])
    assert np.array_equal(np.asarray(values), np.asarray(opened(local / reader.path.name).read(NAMES[1])))
    assert not hub.failures
    assert weights_sent(hub) < 1.2 * LAYER


def test_a_tensor_from_the_web_that_broke_off_loses_one_piece(web, hub, local, monkeypatch):
    monkeypatch.setattr(urls, "PIECE", 2**15)
    reader = opened(f"{web}/model-00001-of-00002.safetensors")
    hub.sent.clear()
    hub.failures = [None, "cut"]
    values = reader.read(NAMES[1])
    assert np.array_equal(np.asarray(values), np.asarray(opened(local / reader.path.name).read(NAMES[1])))
    assert LAYER < weights_sent(hub) <= LAYER + 2**15


def test_a_part_of_a_tensor_is_all_that_is_fetched(client, hub):
    (tensor,) = (one for one in checkpoint_tensors("hf://org/net") if one.name == NAMES[0])
    hub.sent.clear()
    part = tensor.read((slice(0, 100),))
    assert part.shape == (100, COLUMNS)
    assert LAYER // 2 <= weights_sent(hub) <= LAYER // 2 + LITTLE


def test_a_server_that_always_fails_is_said_to(client, hub):
    hub.failures = [503] * 100
    with pytest.raises(UnreadableCheckpoint, match=r"hf://org/net: its server answered with status 503"):
        ww.scan("hf://org/net")


def test_no_network_is_said_and_what_to_try(client, hub, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(UnreadableCheckpoint, match=r"could not be reached in 5 tries .*Check the network; HF_HUB_OFF"):
        ww.scan("hf://org/net")


def test_no_web_server_is_said(web):
    with pytest.raises(UnreadableCheckpoint, match=r"could not be reached in 5 tries .*Check the network"):
        ww.scan("http://127.0.0.1:9/model.safetensors")


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("hf://org/none", "status 401.*Look at the name"),
        ("hf://org/net@v9", "no such model or revision"),
    ],
)
def test_a_model_that_is_not_there(client, url, said):
    with pytest.raises(UnreadableCheckpoint, match=said):
        ww.scan(url)


@pytest.mark.parametrize("url", ["hf://org/net/none.safetensors", "hf://org/net/sub"])
def test_a_file_that_is_not_there(client, url):
    with pytest.raises(InvalidInput, match=rf"hf://org/net@{COMMIT}/\w+.*there is no such file"):
        ww.scan(url)


@pytest.mark.parametrize("url", ["hf://datasets/org/net", "hf://", "hf://org/net@"])
def test_what_is_no_model(client, url):
    with pytest.raises(InvalidInput, match=rf"'{url}' was asked; accepted is hf://org/model"):
        ww.scan(url)


def test_a_web_file_that_is_not_there(web):
    with pytest.raises(InvalidInput, match=r"none\.safetensors"):
        ww.scan(f"{web}/none.safetensors")


def test_a_gated_model_needs_the_token_which_only_the_hub_sees(client, hub, local, monkeypatch):
    hub.gated.add("org/net")
    with pytest.raises(UnreadableCheckpoint, match=r"status 401 .*hf auth login"):
        ww.scan("hf://org/net", layers=TWO)
    monkeypatch.setenv("HF_TOKEN", "right")
    hub.requests.clear()
    assert same(rows("hf://org/net", layers=TWO), rows(local, layers=TWO))
    tokens = {path.startswith("/cdn/"): token for _, path, token in hub.requests}
    assert tokens == {False: "Bearer right", True: None}


def test_files_in_the_cache_are_not_fetched_and_do_offline(client, hub, local, monkeypatch):
    client.snapshot_download("org/net")
    hub.sent.clear()
    assert same(rows("hf://org/net", layers=TWO), rows(local, layers=TWO))
    assert weights_sent(hub) == 0
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    hub.requests.clear()
    assert same(rows(f"hf://org/net@{COMMIT}", layers=TWO), rows(local, layers=TWO))
    assert same(rows("hf://org/net", layers=TWO), rows(local, layers=TWO))
    assert not hub.requests
    with pytest.raises(UnreadableCheckpoint, match=r"offline .*hf download"):
        ww.scan("hf://org/other")


def test_a_scan_of_the_hub_goes_on_where_it_was_killed(client, hub, tmp_path):
    out = tmp_path / "kept.setol"
    ww.scan("hf://org/net", out, layers=TWO, progress=False)
    hub.sent.clear()
    ww.scan("hf://org/net", out, layers=TWO, progress=False)
    assert weights_sent(hub) < LAYER / 2


def test_a_layer_that_could_not_be_fetched_is_a_failed_row_and_tried_again(client, hub, local, tmp_path):
    out = tmp_path / "kept.setol"
    hub.longest = LAYER - 1
    failed = ww.scan("hf://org/net", out, layers=TWO, progress=False)
    reasons = failed.loc[failed["status"] == "failed", "reason"]
    assert len(reasons) == 2
    assert reasons.str.contains("status 503").all()
    hub.longest = None
    assert same(rows("hf://org/net", out=out, layers=TWO), rows(local, layers=TWO))


@pytest.mark.parametrize("source", ["hf://org/net", "{web}/model.safetensors.index.json"])
def test_a_server_that_asks_to_wait_is_waited_for(client, web, hub, monkeypatch, source):
    waited = []
    monkeypatch.setattr(remote, "time", SimpleNamespace(sleep=waited.append))
    hub.retry_after, hub.failures = "7", [429, 429]
    checkpoint_tensors(source.format(web=web))
    # fsspec asks by GET after a HEAD that failed: one failure of its request is two of the server.
    assert set(waited) == {7.0}


def test_a_server_that_forbids_what_is_not_there(web, hub, local, caplog):
    hub.absent = 403
    del hub.models["org/net"]["config.json"]
    (local / "config.json").unlink()
    assert same(rows(f"{web}/model.safetensors.index.json", layers=TWO), rows(local, layers=TWO))
    assert "taken as not there" in caplog.text
    with pytest.raises(UnreadableCheckpoint, match=r"none.safetensors: .*status 403.*the rights to read it"):
        ww.scan(f"{web}/none.safetensors")


def test_a_folder_of_a_model(client, hub, local):
    hub.models["org/nested"] = {f"unet/{name}": content for name, content in sharded().items()} | {"README.md": b"-"}
    assert same(rows("hf://org/nested/unet", layers=TWO), rows(local, layers=TWO))
    with pytest.raises(InvalidInput, match="it holds no file ending in"):
        ww.scan("hf://org/nested")


def test_a_file_that_changes_on_the_web_ends_the_run(web, hub):
    (tensor, *_) = checkpoint_tensors(f"{web}/model-00001-of-00002.safetensors")
    files = hub.models["org/net"]
    name = "model-00001-of-00002.safetensors"
    files[name] = files[name][:-4] + b"\1\1\1\1"
    with pytest.raises(ChangedCheckpoint):
        tensor.load()


def test_a_server_without_ranges_is_refused(web, hub):
    hub.with_ranges = False
    with pytest.raises(UnreadableCheckpoint, match="does not give parts of files"):
        opened(f"{web}/model-00001-of-00002.safetensors").read(NAMES[1])


def test_a_hub_without_ranges_is_refused(client, hub):
    hub.with_ranges = False
    with pytest.raises(UnreadableCheckpoint, match=r"its server does not give parts of files\. Fetch it instead"):
        ww.scan("hf://org/net")


def test_a_web_folder_without_a_list_asks_for_the_file(web):
    with pytest.raises(InvalidInput, match=r"gives no list of it. Accepted are .*index.json"):
        ww.scan(web)


def test_the_command_line_reads_the_hub_by_its_environment(client, hub, tmp_path):
    place = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "home"), "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-m", "setol_ww", "scan", "--out", str(tmp_path / "a.csv"), "--layers", *TWO, "hf://org/net"],
        env={**os.environ, **place},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert (ww.read_table(tmp_path / "a.csv")["status"] == "analyzed").sum() == 2
    assert 2 * LAYER <= weights_sent(hub) <= 2 * LAYER + 2 * LITTLE


@pytest.fixture
def memory():
    fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed (extra remote)")
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def test_a_folder_in_memory_is_read_as_one_on_disk(memory, local):
    for file in local.iterdir():
        memory.pipe(f"/models/net/{file.name}", file.read_bytes())
    found, wanted = ww.analyze("memory://models/net", layers=TWO), ww.analyze(local, layers=TWO)
    assert found.equals(wanted)
    kept = ww.examine("memory://models/net", layers=TWO)
    assert list(kept.table()["longname"]) == list(wanted["longname"])


@pytest.mark.parametrize("ending", ["npz", "npy", "pt"])
def test_other_formats_in_memory(memory, tmp_path, ending):
    file = tmp_path / f"fc.{ending}"
    weight = np.random.default_rng(1).normal(size=(60, 40))
    if ending == "npz":
        np.savez_compressed(file, **{"fc.weight": weight})
    elif ending == "npy":
        np.save(file, weight)
    else:
        torch = pytest.importorskip("torch")
        torch.save({"fc.weight": torch.from_numpy(weight)}, file)
    memory.pipe(f"/some/fc.{ending}", file.read_bytes())
    found, wanted = ww.scan(f"memory://some/fc.{ending}"), ww.scan(file)
    assert found.drop(columns=["seconds"], errors="ignore").equals(wanted.drop(columns=["seconds"], errors="ignore"))


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled:UserWarning")
def test_a_distributed_checkpoint_in_memory(memory, tmp_path):
    torch = pytest.importorskip("torch")
    dcp = pytest.importorskip("torch.distributed.checkpoint")
    weight = torch.randn(30, 20, generator=torch.Generator().manual_seed(8))
    dcp.save({"model": {"fc.weight": weight}}, checkpoint_id=tmp_path / "one")
    for file in (tmp_path / "one").iterdir():
        memory.pipe(f"/parts/{file.name}", file.read_bytes())
    (tensor,) = checkpoint_tensors("memory://parts")
    assert tensor.read().equal(weight)
    assert tensor.read((slice(3, 9),)).equal(weight[3:9])


def test_values_that_lie_beside_an_onnx_file_in_memory(memory, tmp_path):
    onnx = pytest.importorskip("onnx", reason="onnx is not installed (extra onnx)")
    weight = np.random.default_rng(9).normal(size=(30, 20)).astype(np.float32)
    graph = onnx.helper.make_graph([], "net", [], [], [onnx.numpy_helper.from_array(weight, "fc.weight")])
    model = onnx.helper.make_model(graph)
    onnx.save_model(model, tmp_path / "net.onnx", save_as_external_data=True, location="net.data", size_threshold=0)
    for file in tmp_path.iterdir():
        memory.pipe(f"/graph/{file.name}", file.read_bytes())
    (tensor,) = checkpoint_tensors("memory://graph/net.onnx")
    assert np.array_equal(np.asarray(tensor.read()), weight)


def test_a_truncated_copy_of_a_remote_checkpoint(memory, tmp_path):
    weight = np.random.default_rng(2).normal(size=(30, 20))
    memory.pipe("/net/model.safetensors", save({"fc.weight": weight}))
    manifest = ww.truncate_checkpoint("memory://net/model.safetensors", tmp_path / "small", "rank:3", progress=False)
    assert manifest["layers"][0]["rank"] == 3
    (tensor,) = checkpoint_tensors(tmp_path / "small")
    assert np.linalg.matrix_rank(np.asarray(tensor.load())) == 3


@pytest.mark.parametrize(
    ("url", "module", "importer"),
    [
        ("hf://org/net", "huggingface_hub", "huggingface_hub"),
        ("https://localhost/a.npy", "aiohttp", "fsspec.implementations.http"),
        ("s3://a/b.npy", "s3fs", "s3fs"),
    ],
)
def test_a_client_that_is_not_installed_is_named_with_the_extra(monkeypatch, url, module, importer):
    pytest.importorskip("fsspec.registry", reason="fsspec is not installed (extra remote)")
    for name in [name for name in sys.modules if name == importer or name.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    for protocol in ("http", "https", "s3"):
        monkeypatch.delitem(sys.modules["fsspec.registry"]._registry, protocol, raising=False)
    with pytest.raises(InvalidInput, match=r"needs: pip install 'setol-ww\[remote\]'"):
        ww.scan(url)


def test_a_scheme_that_nobody_knows():
    pytest.importorskip("fsspec", reason="fsspec is not installed (extra remote)")
    with pytest.raises(InvalidInput, match=r"accepted are hf://, https://, s3:// and what fsspec knows"):
        ww.scan("gopher://host/model.safetensors")


@pytest.mark.parametrize(
    ("url", "name", "suffix", "parent"),
    [
        ("https://host/a/net.safetensors?token=a/b.c", "net.safetensors", ".safetensors", "https://host/a"),
        ("s3://bucket/a/net.tar.pt", "net.tar.pt", ".pt", "s3://bucket/a"),
        ("memory://a/folder/", "folder", "", "memory://a"),
    ],
)
def test_a_place_has_the_manners_of_a_path(url, name, suffix, parent):
    place = place_of(url)
    assert (place.name, place.suffix, str(place.parent)) == (name, suffix, parent)
    assert place.parent / "x.npy" == place_of(f"{parent}/x.npy")


def test_a_path_is_no_url(tmp_path):
    file = tmp_path / "fc.npy"
    np.save(file, np.ones((3, 2)))
    assert place_of(file.as_uri()) == file
    assert [one.shape for one in checkpoint_tensors(file.as_uri())] == [(3, 2)]


def test_a_bucket_is_read_as_a_folder(local, monkeypatch):
    pytest.importorskip("s3fs", reason="s3fs is not installed (extra remote)")
    server = pytest.importorskip("moto.server", reason="moto is not installed (extra test)")
    import s3fs

    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()
    try:
        system = s3fs.S3FileSystem()
        system.mkdir("weights")
        for file in local.iterdir():
            system.pipe(f"weights/net/{file.name}", file.read_bytes())
        assert same(rows("s3://weights/net", layers=TWO), rows(local, layers=TWO))
        with pytest.raises(InvalidInput, match=r"s3://weights/none.npy"):
            ww.scan("s3://weights/none.npy")
    finally:
        running.stop()
        s3fs.S3FileSystem.clear_instance_cache()


@pytest.mark.parametrize(
    ("status", "hint"),
    [
        (401, "Give its client the rights to read it, or ask its owner"),
        (403, "Give its client the rights to read it, or ask its owner"),
        (404, "Check the network and the address; the same call goes on with what was kept"),
        (None, "Check the network and the address; the same call goes on with what was kept"),
    ],
)
def test_what_to_try_after_a_failure(status, hint):
    assert RemotePath.hint(SimpleNamespace(), status) == hint
