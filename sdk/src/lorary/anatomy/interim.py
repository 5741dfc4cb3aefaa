# ruff: noqa
# mypy: ignore-errors
"""Stands in for parts that still have another shape; goes when they have the agreed one."""

from __future__ import annotations

import inspect as _inspect
from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

from lorary.anatomy import algorithms, alphas, claims, keys, kinds, modules, proof
from lorary import safetensors

try:
    from lorary.anatomy.config import AdapterConfig, ConfigError
except ImportError:

    class AdapterConfig:
        @classmethod
        def parse(cls, raw):
            return None

    class ConfigError(ValueError): ...


UrlSource = getattr(safetensors, "UrlSource", None)


def read_scalars(source, header, tensors):
    new = getattr(safetensors, "read_scalars", None)
    return (
        new(source, header, tensors)
        if new
        else [safetensors.read_scalar(source, header, t) for t in tensors]
    )


class Claim(NamedTuple):
    family: str
    source: str
    value: str


@dataclass(frozen=True)
class Claims:
    first: object = None
    others: tuple = ()
    lineage: object = None
    lineage_source: object = None
    lineage_value: object = None
    is_specific: bool = False
    targets: object = None


def claims_of(metadata, config, name=""):
    new = getattr(claims, "claims_of", None)
    if new:
        return new(metadata, config, name)
    family, key = claims.claimed_family(metadata)
    lineage = claims.claimed_lineage(metadata)
    return Claims(Claim(family, key, metadata[key]) if family else None, (), lineage)


def covers(a, b):
    new = getattr(claims, "covers", None)
    return new(a, b) if new else a == b


class Evidence(NamedTuple):
    rule: str
    text: str
    keys: tuple


@dataclass(frozen=True)
class OldProof:
    candidates: tuple
    confidence: str
    evidence: tuple
    strays: tuple
    expected: int | None

    @property
    def family(self):
        return self.candidates[0] if len(self.candidates) == 1 else None


def Proof(*args):
    return (proof.Proof if hasattr(proof, "Evidence") else OldProof)(*args)


def prove(mods, claimed):
    if hasattr(proof, "Evidence"):
        return proof.prove(mods, claimed)
    old = proof.prove(mods)
    words = {"certain": "proven", "likely": "narrowed", "ambiguous": "narrowed"}
    return OldProof(
        old.candidates,
        words.get(old.confidence, "unknown"),
        tuple(Evidence("containment", t, ()) for t in old.evidence),
        old.strays,
        None,
    )


@dataclass(frozen=True)
class OldAlphas:
    mode: float | None
    values_read: int
    findings: tuple = ()


def _is_new_alphas():
    return hasattr(alphas.Alphas, "values_read")


def Alphas(*args):
    return (alphas.Alphas if _is_new_alphas() else OldAlphas)(*args)


def read_alphas(mods, metadata, config, reader):
    if _is_new_alphas():
        return alphas.read_alphas(mods, metadata, config, reader)
    old = alphas.read_alphas(mods, metadata, reader and (lambda t: reader([t])[0]))
    count = sum("alpha" in m.roles for m in mods) if old.source == "read" else 0
    return OldAlphas(old.value, count, old.findings)


def file_algorithm(mods, metadata, config):
    if len(_inspect.signature(algorithms.file_algorithm).parameters) == 3:
        return algorithms.file_algorithm(mods, metadata, config)
    leading, names = algorithms.file_algorithm(Counter(m.algorithms for m in mods))
    return leading, {n: sum(n in m.algorithms for m in mods) for n in names}


def file_convention(found, kind, candidates):
    new = getattr(keys, "file_convention", None) or getattr(kinds, "file_convention", None)
    if new:
        return new(found, kind, candidates)
    counts = Counter(m.convention for m in found.modules) if kind == "adapter" else Counter()
    return next((n for n, _ in counts.most_common()), None)


def layer(module):
    return getattr(module, "layer", "other")
