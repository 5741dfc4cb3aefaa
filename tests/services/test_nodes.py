"""Three web servers of one hub behind a balancer that chooses at random.

They share PostgreSQL and a bucket, and each has a data directory of its own.
"""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

import psycopg
import pytest

from benchmarks.setup.adapters import write_adapter
from tests import nginx
from tests.clients.programs import Programs
from tests.running import RunningHub, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.buckets import SeaweedFS

pytestmark = [pytest.mark.service, pytest.mark.slow, pytest.mark.long]

NODES = 3
#: Rank that makes a file of 106 MB, which takes several xorbs.
RANK = 20
UPLOADS = 3

BALANCER = """
upstream nodes {{ random; {servers} }}
log_format where '$upstream_addr $request_method $uri';
server {{
    listen 127.0.0.1:{port};
    access_log {log} where;
    client_max_body_size 0;
    location / {{
        proxy_pass http://nodes;
        proxy_http_version 1.1;
        proxy_request_buffering off;
        proxy_set_header Host $http_host;
    }}
}}
"""

PUSH = """
from huggingface_hub import HfApi
api = HfApi()
repo = api.create_repo({repo!r}, exist_ok=True).repo_id
tell(api.upload_file(path_or_fileobj={path!r}, path_in_repo="noir.safetensors", repo_id=repo).oid)
"""
FETCH = """
from huggingface_hub import hf_hub_download
tell(hf_hub_download({repo!r}, "noir.safetensors", local_dir={folder!r}))
"""


@pytest.fixture
def balanced(
    postgres: str, bucket_server: SeaweedFS, tmp_path: Path
) -> Iterator[tuple[RunningHub, Path]]:
    """Yield what stands for the hub, with the balancer's address, and the balancer's log."""
    if nginx.program() is None:
        pytest.skip("nginx is not installed")
    with psycopg.connect(postgres, autocommit=True) as server:
        server.execute("CREATE DATABASE nodes")
    shared = {
        "DATABASE_URL": postgres.rpartition("/")[0] + "/nodes",
        "STORAGE": bucket_server.storage(),
        "SECRET_KEY": "of all nodes, which is long enough" * 2,
    }
    port, log = free_port(), tmp_path / "where.log"
    roles = [("--queues", "checks"), *[("--no-worker",)] * (NODES - 1)]
    nodes = [RunningHub(tmp_path / f"node{n}", *role, **shared) for n, role in enumerate(roles)]
    nodes[0].migrate()
    with ExitStack() as stack:
        for node in nodes:
            node._is_migrated = True
            stack.enter_context(node)
        servers = " ".join(f"server 127.0.0.1:{node.port};" for node in nodes)
        config = BALANCER.format(port=port, log=log, servers=servers)
        stack.enter_context(nginx.Nginx(tmp_path / "nginx", port, config))
        door = SimpleNamespace(url=f"http://127.0.0.1:{port}", manage=nodes[0].manage)
        yield cast("RunningHub", door), log


def test_any_node_continues_an_upload_by_xet(
    balanced: tuple[RunningHub, Path], tmp_path: Path
) -> None:
    hub, log = balanced
    token = hub.manage("token", "--user", "ada", "--create").strip()
    ada = Programs(hub, tmp_path / "ada", token)
    for number in range(UPLOADS):
        path, repo = tmp_path / f"{number}.safetensors", f"xet-{number}"
        write_adapter(path, rank=RANK, is_unique=True)
        assert len(ada.python(PUSH.format(repo=repo, path=str(path)))) == 40
        place = ada.python(FETCH.format(repo=f"ada/{repo}", folder=f"back{number}"))
        back = hashlib.sha256((ada.folder / place).read_bytes()).hexdigest()
        assert back == hashlib.sha256(path.read_bytes()).hexdigest()
    calls = [line.split() for line in log.read_text().splitlines() if " /xet/" in line]
    sessions: dict[str, set[str]] = {}
    for node, _method, address in calls:
        sessions.setdefault(address.split("/")[2], set()).add(node)
    assert len(sessions) >= UPLOADS
    assert max(len(nodes) for nodes in sessions.values()) > 1, "no upload changed its node"
    with_pieces = hub.manage("shell", "--verbosity", "0", "--command",
        "from registry.models import XetXorb; print(XetXorb.objects.count())")  # fmt: skip
    assert with_pieces.strip() == "0"
