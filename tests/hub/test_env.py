"""Reading of environment variables."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from django.core.exceptions import ImproperlyConfigured

from hub.config import Env, load, parse_size, prepare


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("20GiB", 20 * 2**30),
        ("20 gib", 20 * 2**30),
        ("1g", 2**30),
        ("500MB", 500_000_000),
        ("1.5k", 1536),
        ("1048576", 1_048_576),
        ("0", 0),
    ],
)
def test_size_is_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "GiB", "-1", "1 parsec", "1e9", "1,5GB", "0x10"])
def test_size_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize("word", ["1", "true", "YES", "on"])
def test_flag_is_true(word: str) -> None:
    assert Env({"LORARY_X": word}).flag("X", default=False)


@pytest.mark.parametrize("word", ["0", "False", "no", "OFF"])
def test_flag_is_false(word: str) -> None:
    assert not Env({"LORARY_X": word}).flag("X", default=True)


@pytest.mark.parametrize("word", ["maybe", "2", "y", "enabled"])
def test_flag_that_is_unclear_stops_the_start(word: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"LORARY_X: .*neither yes nor no"):
        Env({"LORARY_X": word}).flag("X", default=True)


def test_empty_variable_means_the_default() -> None:
    env = Env({"LORARY_X": "  "})
    assert env.flag("X", default=True)
    assert env.integer("X", 7) == 7
    assert env.text("X", "here") == "here"
    assert env.size("X", "1k") == 1024
    assert env.path("X", Path("/srv")) == Path("/srv")
    assert env.names("X") == ()


def test_choice_is_read_whatever_the_case() -> None:
    assert Env({"LORARY_X": "warning"}).choice("X", "INFO", ["INFO", "WARNING"]) == "WARNING"


@pytest.mark.parametrize("zone", ["Mars", "Europe", "../UTC"])
def test_time_zone_that_is_none_stops_the_start(zone: str) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"LORARY_X: .*Europe/Paris"):
        Env({"LORARY_X": zone}).time_zone("X")


def test_number_with_letters_stops_the_start() -> None:
    with pytest.raises(ImproperlyConfigured, match="LORARY_X"):
        Env({"LORARY_X": "7 days"}).integer("X", 1)


def test_size_that_is_none_stops_the_start_with_its_name() -> None:
    with pytest.raises(ImproperlyConfigured, match="LORARY_X"):
        Env({"LORARY_X": "big"}).size("X", "1k")


def test_secret_is_read_from_its_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3cret\n", encoding="utf-8")
    assert Env({"LORARY_X_FILE": str(secret)}).secret("X") == "s3cret"


def test_secret_given_twice_stops_the_start() -> None:
    with pytest.raises(ImproperlyConfigured, match="LORARY_X"):
        Env({"LORARY_X": "a", "LORARY_X_FILE": "/b"}).secret("X")


def test_secret_file_that_is_missing_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ImproperlyConfigured, match="LORARY_X"):
        Env({"LORARY_X_FILE": str(tmp_path / "none")}).secret("X")


def test_relative_path_becomes_absolute() -> None:
    assert Env({"LORARY_X": "var"}).path("X", Path("/srv")) == Path.cwd() / "var"


def test_list_is_split_at_commas() -> None:
    assert Env({"LORARY_X": "a, b,,c"}).names("X") == ("a", "b", "c")


def test_secret_key_is_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    env = {"LORARY_DATA": str(tmp_path / "own")}
    first = load(Env(env), tmp_path).secret_key
    assert len(first) >= 50
    assert load(Env(env), tmp_path).secret_key == first
    path = tmp_path / "own" / "secret_key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [item.name for item in path.parent.iterdir()] == ["secret_key"]


def test_configuration_does_not_show_its_secrets(tmp_path: Path) -> None:
    secret = "x" * 50
    env = {
        "LORARY_DATA": str(tmp_path),
        "LORARY_SECRET_KEY": secret,
        "LORARY_DATABASE_URL": f"postgres://hub:{secret}@db.example/hub",
        "LORARY_BROKER_URL": f"redis://:{secret}@redis.example/0",
        "LORARY_CACHE_URL": f"redis://:{secret}@redis.example/1",
    }
    assert secret not in repr(load(Env(env), tmp_path))


def test_default_configuration_needs_nothing(tmp_path: Path) -> None:
    config = load(Env({}), tmp_path)
    assert config.data == tmp_path / "var"
    assert config.storage == (tmp_path / "var" / "files").as_uri()
    assert config.allowed_hosts == ("localhost", "127.0.0.1", "[::1]")
    assert (config.debug, config.signup, config.is_https) == (False, True, False)


def test_host_of_the_base_url_is_allowed(tmp_path: Path) -> None:
    config = load(Env({"LORARY_BASE_URL": "https://hub.example/"}), tmp_path)
    assert config.base_url == "https://hub.example"
    assert "hub.example" in config.allowed_hosts
    assert config.is_https


def test_misspelt_variables_are_known_and_those_of_the_client_are_not(tmp_path: Path) -> None:
    env = {"LORARY_STORAG": "x", "LORARY_TOKEN": "y", "LORARY_SECRET_KEY_FILE": "", "PATH": "z"}
    assert load(Env(env), tmp_path).unknown == ("STORAG",)


def test_prepare_can_run_twice(tmp_path: Path) -> None:
    prepare(tmp_path / "data")
    prepare(tmp_path / "data")
    assert (tmp_path / "data" / "broker" / "messages").is_dir()


def test_a_limit_may_be_none(tmp_path: Path) -> None:
    asked = {"": 50_000_000_000, "none": 0, "None": 0, "0": 0, "2GB": 2_000_000_000}
    for text, size in asked.items():
        env = Env({"LORARY_DATA": str(tmp_path), "LORARY_QUOTA_BYTES": text})
        assert load(env, tmp_path).quota_bytes == size
