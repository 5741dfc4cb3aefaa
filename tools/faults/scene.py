"""A hub with many versions and packs to render, and what became of them. Needs Django's settings.

Of four jobs of the batch, three are previews of a version and one is the cover sheet of a version
of a pack. Meanwhile users try stacks, and visitors without an account try packs.
"""

from __future__ import annotations

import hashlib
import statistics
from collections import Counter
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from django.core.management import call_command
from django.db.models import Count

import registry.tasks  # noqa: F401 - registers the handlers of jobs
from previews.models import Image, Render, RenderKind, RenderState
from previews.packs import services as sheets
from previews.recipes.selectors import recipe_for
from previews.render import Recipe
from previews.renders import services as renders
from previews.tryouts import packs as pack_tryouts
from previews.tryouts import services as tryouts
from previews.tryouts.packs import PackTryoutRequest
from previews.tryouts.requests import TryoutRequest
from previews.worker_bases import base_for
from registry import storage
from registry.accounts import users
from registry.adapters import services as adapters
from registry.hooks import pack_version_published, version_published
from registry.jobs import queue
from registry.models import Job, JobState, Version, Worker
from registry.packs import publish
from registry.packs import services as packs
from registry.versions.details import Details
from tests import catalogue
from tools.faults.rows import jobs as job_rows
from training.miniature.tiny import write_tiny_base, write_tiny_lora

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path
    from random import Random

    from registry.models import PackVariant, User

#: Two queues, so that one claim has to look at both.
FAMILIES = ("miniature", "sd1")
OWNERS = 8
ADAPTERS = 30
#: Subjects of a cover sheet; without and with the pack.
_SUBJECTS = 2
#: What renders pictures.
_TASKS = (renders.RENDER_TASK, renders.LITERAL_TASK)
_STEPS, _SIDE = 2, 64
#: Share of those who ask that are visitors and try a pack.
_VISITORS = 0.5


def write_bases(folder: Path) -> Path:
    """Write a tiny base with random weights, and a bases file that calls it by two families."""
    write_tiny_base(folder / "tiny")
    file = folder / "bases.toml"
    file.write_text(
        "".join(
            f'[bases.{family}-tiny]\nfamily = "{family}"\npath = "tiny"\ndevice = "cpu"\n'
            f"steps = {_STEPS}\nguidance = 2.5\nwidth = {_SIDE}\nheight = {_SIDE}\n"
            for family in FAMILIES
        )
    )
    return file


@dataclass
class Scene:
    """People, and the versions of adapters and packs whose renders are queued."""

    people: list[User]
    versions: list[Version]
    looks: list[PackVariant]
    random: Random
    asked: int = 0
    wakes: int = 0

    def queue_batch(self) -> None:
        """Queue a render of every version, each announced twice."""
        every: list[Version | PackVariant] = [*self.versions, *self.looks]
        for one in self.random.sample(every, len(every)):
            render = _preview(one) if isinstance(one, Version) else _cover_sheet(one)
            self.wake_again(render)

    def ask(self) -> None:
        """Have somebody try a version or a pack while all that is going on."""
        seed = self.random.randrange(2**32)
        if self.looks and self.random.random() < _VISITORS:
            wish = PackTryoutRequest(
                variant=self.random.choice(self.looks), subject="a lighthouse", seed=seed,
                address=f"192.0.2.{self.random.randrange(256)}",
            )  # fmt: skip
            tryout = pack_tryouts.create(actor=None, request=wish)
        else:
            version, person = self.random.choice(self.versions), self.random.choice(self.people)
            stack = TryoutRequest(layers=[(version, 1.0)], prompt="a lighthouse", seed=seed)
            tryout = tryouts.create(actor=person, request=stack)
        self.wake_again(tryout.render)
        self.asked += 1

    def wake_again(self, render: Render) -> None:
        """Double the message that a new job sent, and now and then send one for nothing."""
        for _ in range(self.random.choice((1, 1, 2))):
            queue.wake(f"render.{render.family}")
            self.wakes += 1

    def is_warm(self, pid: int) -> bool:
        """Whether a worker of this host is at a job, and has ended two since it was started."""
        end = f":{pid}"
        is_at_job = Job.objects.filter(state=JobState.RUNNING, worker__endswith=end).exists()
        return is_at_job and Worker.objects.filter(name__endswith=end, jobs_done__gte=2).exists()

    def open_jobs(self) -> int:
        """Count renders that are not over."""
        open_states = [JobState.QUEUED, JobState.RUNNING]
        return Job.objects.filter(task__in=_TASKS, state__in=open_states).count()


def build(folder: Path, jobs: int, random: Random) -> Scene:
    """Migrate, and publish as many versions of adapters and packs as there shall be jobs."""
    call_command("migrate", verbosity=0)
    job_rows.watch_ends()
    # This asks by other recipes.
    version_published.disconnect(dispatch_uid="previews.published")
    pack_version_published.disconnect(dispatch_uid="previews.pack_published")
    data = write_tiny_lora(folder / "tiny.safetensors").read_bytes()
    people = [users.create_user(name=f"person{n}") for n in range(OWNERS)]
    owners = [people[min(random.randrange(OWNERS * 2), OWNERS - 1)] for _ in range(ADAPTERS)]
    kept = [
        adapters.create(actor=owner, name=f"adapter{n}", kind="style")
        for n, owner in enumerate(owners)  # the last has most
    ]
    looks = jobs // 4
    versions = []
    for number in range(jobs - looks):
        adapter = kept[number % ADAPTERS]
        details = Details(declared_family=FAMILIES[number % ADAPTERS % 2], trigger_words=("neon",))
        path = f"neon{number}.safetensors"  # another name makes another version
        versions.append(catalogue.release(adapter, data, details, path=path))
    return Scene(people, versions, _looks(versions[0], looks), random)


def _looks(part: Version, count: int) -> list[PackVariant]:
    """Publish versions of a pack, each with a template of its own; return their variants."""
    owner = part.adapter.namespace.user
    assert owner is not None
    pack = packs.create(actor=owner, name="look", visibility="public")
    variant = {
        "name": "picture", "family": part.family, "output": "image",
        "parts": [{"adapter": part.adapter.full_name, "strength": 0.8, "role": "style"}],
    }  # fmt: skip
    found = []
    for number in range(count):
        manifest = {"variants": [{**variant, "prompt": f"{{prompt}}, neon, take {number}"}]}
        version = publish.publish(actor=owner, pack=pack, manifest=manifest)
        found.append(version.variants.select_related("version__pack__namespace").get())
    return found


def _preview(version: Version) -> Render:
    recipe = _recipe(version)
    render = Render.objects.create(
        version=version,
        recipe=renders.store_recipe(recipe),
        base=recipe.base,  # or a worker that starts would render it by the whole recipe
        trigger_words=version.trigger_words,
    )
    renders.enqueue(render=render)
    return render


def _cover_sheet(variant: PackVariant) -> Render:
    base = base_for(variant.family, variant.output)
    assert base is not None
    whole = sheets.sheet_recipe(variant, base)
    recipe = replace(whole, prompts=whole.prompts[:_SUBJECTS], plain=whole.plain[:_SUBJECTS])
    render = sheets.create(variant, base, recipe)
    assert render is not None
    return render


def _recipe(version: Version) -> Recipe:
    """Return the recipe of a version with one prompt and seed: this is not about pictures.

    Strengths are those of today, or a finished render would be followed by another.
    """
    own = recipe_for(version)
    assert own is not None
    return replace(own, prompts=own.prompts[:1], seeds=own.seeds[:1])


@dataclass
class Outcome:
    """What was found in the end; ``faults`` are broken promises, in words.

    ``late`` are interactive jobs that waited longer than any batch job took that ran meanwhile.
    """

    batch: int = 0
    interactive: int = 0
    pictures: int = 0
    attempts: Counter[int] = field(default_factory=Counter)
    batch_s: list[float] = field(default_factory=list)
    waits_s: list[float] = field(default_factory=list)
    late: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def typical_s(self) -> float:
        """Length of a batch job that nobody disturbed."""
        return statistics.median(self.batch_s) if self.batch_s else 0.0

    @property
    def longest_s(self) -> float:
        """Length of the longest of them."""
        return max(self.batch_s, default=0.0)


def outcome() -> Outcome:
    """Look at every row, and at the bytes of every picture."""
    found = Outcome()
    _judge_jobs(found)
    for render in Render.objects.select_related("recipe").iterator():
        _judge_render(render, found)
    twice = Image.objects.values("render", "position").annotate(n=Count("pk")).filter(n__gt=1)
    found.faults += [f"render {row['render']} has a picture twice" for row in twice]
    return found


def _judge_jobs(found: Outcome) -> None:
    ends = job_rows.ends()
    batch, waits = [], []
    for job in Job.objects.filter(task__in=_TASKS):
        found.attempts[job.attempt] += 1
        if job.state != JobState.DONE:
            found.faults.append(f"job {job.pk} is {job.state}: {job.reason}")
        if ends.get(job.pk, 0) != 1:
            found.faults.append(f"job {job.pk} ended {ends.get(job.pk, 0)} times")
        if job.started_at is None or job.finished_at is None:
            continue
        if job.priority >= queue.VISITOR:
            waits.append((job.created_at, job.started_at))
        else:
            batch.append((job.started_at, job.finished_at))
            if job.attempt == 1:
                found.batch_s.append(_seconds(job.finished_at - job.started_at))
    found.batch, found.interactive = len(batch), len(waits)
    found.waits_s = [_seconds(began - asked) for asked, began in waits]
    found.late = sum(_is_late(asked, began, batch) for asked, began in waits)


def _is_late(asked: datetime, began: datetime, batch: list[tuple[datetime, datetime]]) -> bool:
    """Whether a wait was longer than every batch job that ran during it."""
    meanwhile = [end - start for start, end in batch if start < began and end > asked]
    return bool(meanwhile) and began - asked > max(meanwhile)


def _seconds(span: timedelta) -> float:
    return span / timedelta(seconds=1)


def _judge_render(render: Render, found: Outcome) -> None:
    if render.state != RenderState.READY or render.recipe is None:
        found.faults.append(f"render {render.pk} is {render.state}: {render.reason}")
        return
    recipe = Recipe.from_dict(render.recipe.document)
    wanted = {shot.key for shot in recipe.shots(render.trigger_words)}
    images = list(render.images.select_related("blob"))
    there = Counter((row.prompt_index, row.seed, row.strength) for row in images)
    if set(there) != wanted or any(count > 1 for count in there.values()):
        found.faults.append(f"render {render.pk} has {len(images)} of {len(wanted)} pictures")
    if render.kind == RenderKind.PREVIEW and render.version is None:
        found.faults.append(f"render {render.pk} is of no version")
    for image in images:
        with storage.store().open(image.blob.sha256) as handle:
            if hashlib.sha256(handle.read()).hexdigest() != image.blob.sha256:
                found.faults.append(f"picture {image.pk} has other bytes than it says")
    found.pictures += len(images)
