"""Files of a version as Civitai's clients read them, and the one that a query selects."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from django.utils.translation import gettext as _

from hub.protocols.civitai.query import QueryParameters
from hub.protocols.civitai.vocabulary import (
    FILE_TYPES,
    FORMATS,
    PRECISIONS,
    SIZES,
    file_type,
)
from registry.errors import NotFound
from registry.models import File, FileRole, Version
from registry.scan.hashes import swapped

SAFE = "SafeTensor"

#: Kind of hash → Civitai's name; Civitai does not have the other kinds.
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
    """Return the primary file, else the first weights; None if there are none."""
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
    listed = [shape(version, one, weights, origin, is_main=one == main) for one in weights]
    return listed[:1] if is_main_only else listed


def shape(
    version: Version, file: File, weights: Sequence[File], origin: str, *, is_main: bool
) -> dict[str, Any]:
    """Return one file; its size is in KiB, not rounded."""
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
    """Return a name without slashes; it includes the folder if file names are not unique."""
    name = file.path.rpartition("/")[2]
    same = [one for one in others if one.path.rpartition("/")[2].casefold() == name.casefold()]
    return file.path.replace("/", "-") if len(same) > 1 else name


def _metadata(file: File) -> dict[str, str]:
    dtypes: dict[str, int] = getattr(file, "dtypes", None) or {}
    metadata = {"format": _format(file), "size": "full"}
    precision = _PRECISION.get(max(dtypes, key=lambda one: dtypes[one], default=""))
    return metadata | ({"fp": precision} if precision else {})


def _format(file: File) -> str:
    return SAFE if file.path.casefold().endswith(".safetensors") else "Other"


def hashes_of(file: File) -> dict[str, str]:
    """Return all known hashes in upper case; Civitai's CRC-32 has the reverse byte order."""
    hashes = {**file.blob.hashes, "sha256": file.sha256, "autov2": file.sha256[:10]}
    if crc := hashes.get("crc32"):
        hashes["crc32"] = swapped(crc)
    return {name: hashes[kind].upper() for kind, name in _KINDS.items() if hashes.get(kind)}


def download_url(version: Version, origin: str, file: File | None = None) -> str:
    """Return the URL of a download; without a query for the primary file (None)."""
    place = f"{origin}/api/download/models/{version.pk}"
    if file is None:
        return place
    query = {"type": file_type(file.role), "format": _format(file), "fileId": file.pk}
    return f"{place}?{urlencode(query)}"


def chosen(parameters: QueryParameters, files: Sequence[File]) -> File:
    """Return the file that the parameters select, by default the primary one.

    Raises:
        Invalid: Civitai does not know a value.
        NotFound: no file matches.
    """
    wanted = {
        "type": parameters.one_of("type", FILE_TYPES),
        "format": parameters.one_of("format", FORMATS),
        "size": parameters.one_of("size", SIZES),
        "fp": parameters.one_of("fp", PRECISIONS),
    }
    number = parameters.id("fileId")
    if number is None and not any(wanted.values()):
        found = main_of(files)
    else:
        fit = (one for one in files if number in {None, one.pk} and _fits(one, wanted))
        found = next(fit, None)
    if found is None:
        raise NotFound(_("File not found: this version has no file of this kind."))
    return found


def _fits(file: File, wanted: dict[str, str]) -> bool:
    known = {"type": file_type(file.role), **_metadata(file)}
    return all(known.get(name) == value for name, value in wanted.items() if value)
