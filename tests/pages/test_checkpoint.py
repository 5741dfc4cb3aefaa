"""“Works with my checkpoint”: choosing one, and what lists show then."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

import pytest

from registry.models import Adapter
from tests.builders import foreign
from tests.builders.modules import header

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client

    from registry.models import User
    from tests.builders.modules import Shapes

pytestmark = pytest.mark.django_db

READ = "/browse/checkpoint/read"
PICKER = "/browse/checkpoint"


def head_of(shapes: Shapes) -> tuple[bytes, int]:
    """The first bytes of a file with these tensors, and the size of the whole file."""
    tensors = header(shapes).tensors
    entries = {
        name: {
            "dtype": one.dtype,
            "shape": list(one.shape),
            "data_offsets": [one.begin, one.end],
        }
        for name, one in tensors.items()
    }
    text = json.dumps(entries).encode()
    text += b" " * (-len(text) % 8)
    head = struct.pack("<Q", len(text)) + text
    return head, len(head) + max((one.end for one in tensors.values()), default=0)


@pytest.fixture
def lineages(ada: User, noir: Adapter, published: Callable[..., Adapter]) -> None:
    """Adapters of SDXL: Pony twice, Illustrious, SDXL 1.0, unknown; and one of SD 1."""
    rows = {
        "pony": "Pony",
        "pony6": "Pony Diffusion V6 XL",
        "illu": "Illustrious",
        "root": "SDXL 1.0",
        "plain": "",
    }
    for name, lineage in rows.items():
        published(ada, name)
        Adapter.objects.filter(name=name).update(family="sdxl", lineage=lineage)


def listed(client: Client, path: str = "/browse") -> set[str]:
    page = client.get(path).content.decode()
    known = ("noir", "pony", "pony6", "illu", "root", "plain")
    return {name for name in known if f'href="/ada/{name}"' in page}


def choose(client: Client, choice: str, next_: str = "/browse") -> str:
    answer = client.post(PICKER, {"choice": choice, "next": next_})
    assert answer.status_code == 302
    return str(answer.headers["Location"])


@pytest.mark.usefixtures("lineages")
def test_the_choice_narrows_every_list_of_pages_and_nothing_else(client: Client) -> None:
    everything = {"noir", "pony", "pony6", "illu", "root", "plain"}
    for path in ("/browse", "/", "/ada"):
        assert listed(client, path) == everything, path
    assert choose(client, "sdxl/Pony", "/browse?q=light") == "/browse?q=light"
    cookie = client.cookies["checkpoint"]
    assert (cookie.value, cookie["samesite"], cookie["max-age"]) == ("sdxl%2FPony", "Lax", 31536000)
    for path in ("/browse", "/", "/ada"):
        assert listed(client, path) == {"pony", "pony6", "root", "plain"}, path
        page = client.get(path).content.decode()
        assert page.count("<b>may work</b>") == 2, path
        assert "Remove checkpoint: Pony (Stable Diffusion XL)" in page, path
    assert "4 adapters" in client.get("/browse").content.decode()
    found = client.get("/api/v1/adapters").json()["results"]
    assert len(found) == len(everything)
    assert len(client.get("/api/models").json()) == len(everything)


@pytest.mark.usefixtures("lineages")
def test_a_base_model_alone_allows_all_its_lineages(client: Client) -> None:
    choose(client, "sdxl")
    assert listed(client) == {"pony", "pony6", "illu", "root", "plain"}
    assert "may work" not in client.get("/browse").content.decode()
    choose(client, "sdxl/SDXL base")
    assert listed(client) == {"root", "plain"}


@pytest.mark.usefixtures("lineages")
def test_filters_in_the_address_win(client: Client) -> None:
    choose(client, "sdxl/Pony")
    assert listed(client, "/browse?family=sd1") == {"noir"}
    assert listed(client, "/browse?lineage=Illustrious") == {"illu"}
    page = client.get("/browse?family=sd1").content.decode()
    assert "Your filters select a different base model, so this choice is ignored." in page
    narrowed = client.get("/browse?kind=style", headers={"HX-Request": "true"})
    assert narrowed.headers["HX-Push-Url"] == "/browse?kind=style"  # shared without the choice
    page = client.get("/browse").content.decode()
    assert 'value="sd1"' in page  # another base model can be chosen


@pytest.mark.usefixtures("lineages")
def test_the_choice_is_taken_back(client: Client) -> None:
    choose(client, "sdxl/Pony")
    assert "Now: Pony (Stable Diffusion XL)" in client.get(PICKER).content.decode()
    choose(client, "")
    assert listed(client) == {"noir", "pony", "pony6", "illu", "root", "plain"}


@pytest.mark.usefixtures("lineages")
def test_the_picker_lists_base_models_with_their_lineages(client: Client) -> None:
    page = client.get(f"{PICKER}?next=/ada").content.decode()
    for choice in ("sdxl", "sd1", "sdxl/Pony", "sdxl/Illustrious", "sdxl/SDXL 1.0"):
        assert f'value="{choice}"' in page
    assert 'name="next" value="/ada"' in page


@pytest.mark.parametrize("value", ["nonsense", "sdxl%2F" + "x" * 99, "%00", "sdxl%2F%0a", "/"])
def test_an_odd_cookie_is_no_choice(client: Client, noir: Adapter, value: str) -> None:
    client.cookies["checkpoint"] = value
    assert listed(client) == {"noir"}


def test_an_odd_choice_is_refused_and_no_other_site_is_opened(client: Client, db: None) -> None:
    assert client.post(PICKER, {"choice": "nonsense"}).status_code == 400
    for place in ("https://evil.example/", "//evil.example", "\\\\evil.example", ""):
        assert choose(client, "sdxl", place) == "/browse"


def test_a_header_is_read_and_offered(client: Client, db: None) -> None:
    head, size = head_of(foreign.checkpoint("sdxl", "sgm", "model.diffusion_model."))

    def read(body: bytes, name: str, **query: str) -> tuple[int, str]:
        address = (
            f"{READ}?name={name}&size={query.get('size', size)}&autov1={query.get('autov1', '')}"
        )
        answer = client.post(address, body, content_type="application/octet-stream")
        return answer.status_code, answer.content.decode()

    status, page = read(head, "ponyRealism.safetensors")
    assert status == 200
    assert "ponyRealism.safetensors is Pony (Stable Diffusion XL)." in page
    assert 'name="choice" value="sdxl/Pony"' in page
    assert 'value="sdxl/Pony Diffusion V6 XL"' in read(head, "a", autov1="e577480d")[1]
    assert 'value="sdxl"' in read(head, "%3Cb%3E.safetensors")[1]
    assert "<b>" not in read(head, "%3Cb%3E.safetensors")[1]
    assert read(head[:-9], "cut.safetensors")[0] == 422
    assert read(b"", "nothing")[0] == 422
    assert read(b"\xff" * 64, "odd", size="x")[0] == 422
    adapter = head_of({"lora_unet_a.lora_down.weight": (4, 320)})
    status, page = read(adapter[0], "lora.safetensors", size=str(adapter[1]))
    assert (status, "is not a checkpoint" in page) == (200, True)


def test_a_header_beyond_the_limit_of_strangers_is_refused(
    client: Client, db: None, own_settings: Callable[..., None]
) -> None:
    own_settings(stranger_header_bytes=1000)
    head, size = head_of(foreign.checkpoint("sd1", "sgm"))
    answer = client.post(f"{READ}?size={size}", head, content_type="application/octet-stream")
    assert answer.status_code == 422
    assert "Without signing in" in answer.content.decode()


def test_an_owner_without_fitting_adapters_says_so(client: Client, noir: Adapter) -> None:
    choose(client, "flux1")
    assert "No adapter here works with your checkpoint." in client.get("/ada").content.decode()
    assert "No adapter works with your checkpoint yet." in client.get("/").content.decode()
