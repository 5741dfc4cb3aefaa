"""Serializers that describe the anatomy document (``docs/anatomy.md``).

They are for the API document only; the document itself comes from the reader or the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers

from hub.api.base import FindingOut
from lorary.anatomy import KIND_TITLES
from registry.models import SCHEMA

KINDS = tuple(KIND_TITLES)
CONFIDENCES = ("proven", "narrowed", "claimed", "unknown")
AGREEMENTS = ("agree", "conflict", "no-claim")
TRUST = ("high", "medium", "low")


def named(document: Mapping[str, Any], name: str) -> dict[str, Any] | None:
    """Return a stored document with this file name, None if there is none."""
    return {**document, "file": {**document["file"], "name": name}} if document else None


def _histogram(help_text: str) -> serializers.DictField:
    return serializers.DictField(child=serializers.IntegerField(), help_text=help_text)


class AnatomyFile(serializers.Serializer[Any]):
    """The file itself."""

    name = serializers.CharField()
    size_bytes = serializers.IntegerField()
    header_bytes = serializers.IntegerField()
    tensors = serializers.IntegerField()


class EvidenceOut(serializers.Serializer[Any]):
    """A reason for the verdict."""

    rule = serializers.CharField(help_text="Stable id of the rule.")
    text = serializers.CharField()
    keys = serializers.ListField(
        child=serializers.CharField(),
        help_text="At most five tensors or metadata keys that show it.",
    )


class ClaimOut(serializers.Serializer[Any]):
    """A claim of a metadata key about the base model."""

    family = serializers.CharField(allow_null=True, help_text="A family, or a group such as `wan`.")
    source = serializers.CharField(  # type: ignore[assignment]  # a field, not Field.source
        allow_null=True, help_text="The metadata key."
    )
    value = serializers.CharField(allow_null=True)


class LineageClaimOut(serializers.Serializer[Any]):
    """A claim about the checkpoint."""

    lineage = serializers.CharField()
    source = serializers.CharField(  # type: ignore[assignment]  # a field, not Field.source
        help_text="The metadata key, or `file name`."
    )
    value = serializers.CharField(allow_null=True)
    is_refuted = serializers.BooleanField(
        help_text="Whether the tensors rule it out: its base model is not a candidate."
    )


class ClaimedOut(serializers.Serializer[Any]):
    """What the file claims; `{}` if it claims nothing."""

    family = serializers.CharField(allow_null=True, required=False)
    source = serializers.CharField(  # type: ignore[assignment]  # a field, not Field.source
        allow_null=True, required=False
    )
    value = serializers.CharField(allow_null=True, required=False)
    lineage_source = serializers.CharField(allow_null=True, required=False)
    lineage_value = serializers.CharField(allow_null=True, required=False)
    lineages = LineageClaimOut(
        many=True, required=False, help_text="All claimed checkpoints, best source first."
    )
    others = ClaimOut(many=True, required=False, help_text="All further claims.")


class CheckpointIdOut(serializers.Serializer[Any]):
    """A hash or number of the checkpoint that the trainer wrote."""

    key = serializers.CharField()
    value = serializers.CharField()


class LineageEvidenceOut(serializers.Serializer[Any]):
    """Evidence about the checkpoint."""

    lineage = serializers.CharField()
    stance = serializers.ChoiceField(choices=("for", "against"))
    confidence = serializers.ChoiceField(
        choices=("measured", "estimated"),
        help_text="`measured` only in documents of versions, before all estimates.",
    )
    rule = serializers.CharField(
        help_text="`denoising` (measured), `known_hash` (a table of the hub's operator), "
        "`quality_tags`, `prediction` or `training_start`."
    )
    text = serializers.CharField()
    source = serializers.CharField(  # type: ignore[assignment]  # a field, not Field.source
        help_text="Where the fact is from, usually an address; for a measurement, how much was "
        "measured."
    )
    keys = serializers.ListField(child=serializers.CharField())


class BaseModelOut(serializers.Serializer[Any]):
    """The verdict on the base model."""

    family = serializers.CharField(
        allow_null=True, help_text="null if none or several candidates remain."
    )
    candidates = serializers.ListField(child=serializers.CharField())
    allowed = serializers.ListField(
        child=serializers.CharField(),
        help_text="The candidates, and those that only the file's claims exclude.",
    )
    likely = serializers.CharField(
        allow_null=True,
        help_text="The most used of several candidates: a suggestion, not proof.",
    )
    confidence = serializers.ChoiceField(choices=CONFIDENCES)
    lineage = serializers.CharField(
        allow_null=True,
        help_text="The checkpoint it was trained on, as the metadata claims; several for a "
        "merge, separated by commas. Never one that the tensors rule out.",
    )
    claimed = ClaimedOut()
    agreement = serializers.ChoiceField(choices=AGREEMENTS)
    evidence = EvidenceOut(many=True)
    checkpoint_ids = CheckpointIdOut(
        many=True, required=False, help_text="Absent from older documents."
    )
    lineage_evidence = LineageEvidenceOut(
        many=True,
        required=False,
        help_text="Evidence about the checkpoint, for and against some. Absent from older "
        "documents.",
    )


class RankOut(serializers.Serializer[Any]):
    """Ranks of all modules that have one."""

    mode = serializers.IntegerField(
        allow_null=True,
        help_text="The most frequent rank; if several are equally frequent, the largest.",
    )
    min = serializers.IntegerField(allow_null=True)
    max = serializers.IntegerField(allow_null=True)
    histogram = _histogram("Rank to number of modules.")


class AlphaOut(serializers.Serializer[Any]):
    """The alphas."""

    mode = serializers.FloatField(allow_null=True)
    values_read = serializers.IntegerField(
        help_text="Alphas read from the file; 0 if the metadata declares one, or there is none."
    )


class BlockOut(serializers.Serializer[Any]):
    """A block of the base model."""

    name = serializers.CharField()
    modules = serializers.IntegerField()
    parameters = serializers.IntegerField()


class LayersOut(serializers.Serializer[Any]):
    """The adapted modules."""

    modules = serializers.IntegerField()
    linear = _histogram("Rank to number of linear modules.")
    conv = _histogram("Rank to number of modules with a kernel.")
    expected = serializers.IntegerField(
        allow_null=True,
        help_text="Number of modules that trainers adapt by default in this family.",
    )
    kinds = _histogram("attention, mlp, conv, norm, modulation, embedder, other.")
    blocks = BlockOut(many=True)


class TriggerWordOut(serializers.Serializer[Any]):
    """A trigger word."""

    text = serializers.CharField()
    source = serializers.CharField()  # type: ignore[assignment]  # a field, not Field.source
    confidence = serializers.ChoiceField(choices=TRUST)


class CommonTagOut(serializers.Serializer[Any]):
    """A frequent tag of the captions."""

    text = serializers.CharField()
    share = serializers.FloatField(help_text="Share of the pictures, 0 to 1.")


class MetadataOut(serializers.Serializer[Any]):
    """Metadata about the whole file."""

    keys = serializers.IntegerField()
    bytes = serializers.IntegerField()
    writer = serializers.CharField(allow_null=True)
    title = serializers.CharField(allow_null=True)
    description = serializers.CharField(allow_null=True)
    author = serializers.CharField(allow_null=True)
    license = serializers.CharField(allow_null=True)
    usage_hint = serializers.CharField(allow_null=True)
    recommended_strength = serializers.FloatField(allow_null=True)
    tags = serializers.ListField(
        child=serializers.CharField(),
        required=False,
        help_text="The author's tags (`modelspec.tags`); absent in documents of earlier releases.",
    )
    names = serializers.ListField(
        child=serializers.CharField(), help_text="The first hundred keys; values stay in the file."
    )


class AnatomyOut(serializers.Serializer[Any]):
    """What a header proves and claims."""

    schema = serializers.IntegerField(help_text=f"Version of this document's schema: {SCHEMA}.")
    file = AnatomyFile()
    kind = serializers.ChoiceField(choices=KINDS)
    algorithm = serializers.CharField(allow_null=True)
    algorithms = _histogram("Adapter method to number of modules.")
    convention = serializers.CharField(allow_null=True, help_text="Style of the tensor names.")
    base = BaseModelOut()
    rank = RankOut()
    alpha = AlphaOut()
    parts = _histogram("denoiser, text_encoder, … to number of modules.")
    layers = LayersOut()
    parameters = serializers.IntegerField()
    dtypes = _histogram("Number format to number of tensors.")
    trigger_words = TriggerWordOut(many=True)
    common_tags = CommonTagOut(many=True)
    training = serializers.DictField(help_text="Facts about the training, from the metadata.")
    metadata = MetadataOut()


class InspectionOut(AnatomyOut):
    """The document of a file with a valid header, adapter or not."""

    findings = FindingOut(many=True)


class RefusedFile(serializers.Serializer[Any]):
    """A file that could not be read."""

    name = serializers.CharField()


class RefusalReason(serializers.Serializer[Any]):
    """The reason for a refusal."""

    code = serializers.CharField(help_text="A code of `docs/findings.md`.")
    message = serializers.CharField()
    at = serializers.IntegerField(
        allow_null=True, help_text="Byte offset of the problem, if known."
    )


class RefusalOut(serializers.Serializer[Any]):
    """The document of a file whose header cannot be read."""

    schema = serializers.IntegerField()
    file = RefusedFile()
    error = RefusalReason()


class MeasuredBaseOut(serializers.Serializer[Any]):
    """A base model with the adapter, and how well it denoises the author's pictures."""

    base = serializers.CharField(help_text="Id in the bases file.")
    lineage = serializers.CharField()
    title = serializers.CharField()
    digest = serializers.CharField(help_text="Digest of its files, settings and libraries.")
    prediction = serializers.ChoiceField(choices=("epsilon", "v_prediction", "sample"))
    timesteps = serializers.ListField(
        child=serializers.IntegerField(), help_text="Its timesteps for the noise levels."
    )
    error = serializers.FloatField(help_text="Mean square error of the predicted noise.")
    difference = serializers.FloatField(
        help_text="Mean relative difference from the error of the first one, paired by picture."
    )
    standard_error = serializers.FloatField(help_text="Of the difference, over pictures.")
    is_significant = serializers.BooleanField(
        help_text="Whether the difference is larger than chance and than `smallest_difference`."
    )


class LeftOutBaseOut(serializers.Serializer[Any]):
    """A base model that could not be measured."""

    base = serializers.CharField()
    reason = serializers.ChoiceField(
        choices=("cannot_render", "cannot_measure"),
        help_text="The adapter does not fit it, or it does not predict noise in finite numbers.",
    )


class MeasuredPictureOut(serializers.Serializer[Any]):
    """A picture of the gallery that was measured."""

    id = serializers.IntegerField()
    sha256 = serializers.CharField()


class LineageRecipeOut(serializers.Serializer[Any]):
    """How a lineage was measured."""

    method = serializers.IntegerField(help_text="Version of the measure.")
    levels = serializers.ListField(
        child=serializers.FloatField(), help_text="Share of the picture in the noisy one's power."
    )
    seeds = serializers.ListField(child=serializers.IntegerField())
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    strength = serializers.FloatField()
    weights = serializers.ListField(child=serializers.CharField(), help_text="sha256 of each file.")
    pictures = MeasuredPictureOut(many=True)
    significance = serializers.FloatField()
    smallest_difference = serializers.FloatField()


class MeasuredLineageOut(serializers.Serializer[Any]):
    """What a worker measured of the lineage; it never changes `lineage`."""

    lineage = serializers.CharField(allow_null=True, help_text="null: cannot tell.")
    text = serializers.CharField(help_text="The same in words.")
    bases = MeasuredBaseOut(many=True, help_text="The best first.")
    left_out = LeftOutBaseOut(many=True)
    recipe = LineageRecipeOut()
    measured_at = serializers.DateTimeField()


class VersionBaseOut(BaseModelOut):
    """The verdict, with the owner's declaration."""

    measured_lineage = MeasuredLineageOut(
        required=False, help_text="Absent if no worker measured it."
    )

    declared = serializers.CharField(
        allow_null=True, help_text="What the owner of the version declares."
    )


class VersionAnatomyOut(AnatomyOut):
    """The anatomy of a version's primary file."""

    base = VersionBaseOut()
