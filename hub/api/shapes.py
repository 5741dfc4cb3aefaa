"""Shapes that several nouns share."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from registry.models import Severity

__all__ = ["FindingOut", "ProgressOut"]


class FindingOut(serializers.Serializer[Any]):
    """One result of a check."""

    code = serializers.CharField()
    severity = serializers.ChoiceField(choices=Severity.choices)
    message = serializers.CharField()
    evidence = serializers.DictField()


class ProgressOut(serializers.Serializer[Any]):
    """How far work is, in its own unit."""

    done = serializers.IntegerField()
    total = serializers.IntegerField()
