"""Files of a version: how Civitai's clients see them, and which one a query string means."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.utils.translation import gettext as _

from hub.protocols.civitai.vocabulary import (
    FILE_TYPES,
    FORMATS,
    PRECISIONS,
    SIZES,
    file_type,
)
from registry.errors import NotFound
from registry.models import FileRole
from registry.scan.hashes import swapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hub.protocols.civitai.asked import Asked
    from registry.models import File, Version

SAFE = "SafeTensor"

#: Kind of hash → how Civitai writes it; other kinds are ours alone.
_KINDS = {
    "sha256": "SHA256",
    "autov1": "AutoV1",
    "autov2": "AutoV2",
    "autov3": "AutoV3",
    "crc32": "CRC32",
    "blake3": "BLAKE3",
}
#: safetensors' number format → precision.
_PRECISION = {
    "F32": "fp32", "F64": "fp32", "F16": "fp16", "BF16": "bf16", "F8_E4M3": "fp8",
    "F8_E5M2": "fp8", "I8": "int8", "U8": "int8", "F4": "nvfp4",
}  # fmt: skip


def main_of(files: Sequence[File]) -> File | None:
    """Return the primary file, else the first weights; None where there are none."""
    weights = [file for file in files if file.role == FileRole.WEIGHTS]
    return next((file for file in weights if file.is_primary), weights[0] if weights else None)


def shapes(
    version: Version, files: Sequence[File], origin: str, *, is_main_only: bool = False
) -> list[dict[str, Any]]:
    """Return the weights of a version, the primary file first; exactly one is primary."""
    main = main_of(files)
    if main is None:
        return []
    weights = [main, *(one for one in files if one.role == FileRole.WEIGHTS and one != main)]
    told = [shape(version, one, weights, origin, is_main=one == main) for one in weights]
    return told[:1] if is_main_only else told


def shape(
    version: Version, file: File, weights: Sequence[File], origin: str, *, is_main: bool
) -> dict[str, Any]:
    """Return one file; its size is in units of 1024 bytes and not rounded."""
    name = name_of(file, weights)
    return {
        "id": file.pk,
        "name": name,
        "type": file_type(file.role),
        "sizeKB": file.size_bytes / 1024,
        "metadata": _metadata(file),
        "hashes": hashes_of(file),
        "pickleScanResult": "Success",
        "pickleScanMessage": "No Pickle imports",
        "virusScanResult": "Success",
        "scannedAt": file.blob.created_at.isoformat().replace("+00:00", "Z"),
        "downloadUrl": download_url(version, origin, None if is_main else file),
        "primary": is_main,
    }


def name_of(file: File, others: Sequence[File]) -> str:
    """Return a name of one component; the folder is in it where it tells files apart."""
    name = file.path.rpartition("/")[2]
    same = [one for one in others if one.path.rpartition("/")[2].casefold() == name.casefold()]
    return file.path.replace("/", "-") if len(same) > 1 else name


def _metadata(file: File) -> dict[str, str]:
    dtypes: dict[str, int] = getattr(file, "dtypes", None) or {}
    told = {"format": _format(file), "size": "full"}
    precision = _PRECISION.get(max(dtypes, key=lambda one: dtypes[one], default=""))
    return told | ({"fp": precision} if precision else {})


def _format(file: File) -> str:
    return SAFE if file.path.casefold().endswith(".safetensors") else "Other"


def hashes_of(file: File) -> dict[str, str]:
    """Return every hash that is known, in upper case; Civitai writes CRC-32 the other way round."""
    told = {**file.blob.hashes, "sha256": file.sha256, "autov2": file.sha256[:10]}
    if crc := told.get("crc32"):
        told["crc32"] = swapped(crc)
    return {name: told[kind].upper() for kind, name in _KINDS.items() if told.get(kind)}


def download_url(version: Version, origin: str, file: File | None = None) -> str:
    """Return where a file is downloaded; that of the primary one (None) has no query."""
    place = f"{origin}/api/download/models/{version.pk}"
    if file is None:
        return place
    asked = {"type": file_type(file.role), "format": _format(file), "fileId": file.pk}
    return f"{place}?{urlencode(asked)}"


def chosen(asked: Asked, files: Sequence[File]) -> File:
    """Return the file that a query string means, the primary one where it says nothing.

    Raises:
        Invalid: a value that Civitai does not know.
        NotFound: the version has no such file.
    """
    wanted = {
        "type": asked.one_of("type", FILE_TYPES),
        "format": asked.one_of("format", FORMATS),
        "size": asked.one_of("size", SIZES),
        "fp": asked.one_of("fp", PRECISIONS),
    }
    number = asked.id("fileId")
    if number is None and not any(wanted.values()):
        found = main_of(files)
    else:
        fit = (one for one in files if number in {None, one.pk} and _fits(one, wanted))
        found = next(fit, None)
    if found is None:
        raise NotFound(_("File not found: this version has no file of this kind."))
    return found


def _fits(file: File, wanted: dict[str, str]) -> bool:
    told = {"type": file_type(file.role), **_metadata(file)}
    return all(told.get(name) == value for name, value in wanted.items() if value)
