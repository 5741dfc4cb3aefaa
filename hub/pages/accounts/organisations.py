"""Pages of organisations: the user's, all of them for administrators, and the members of one."""

from __future__ import annotations

from itertools import chain

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from hub.pages.forms import accept_faults
from hub.pages.operator.accounts import QuotaForm
from registry.accounts import organisations, permissions, quotas, selectors
from registry.errors import Invalid, Moved, NameInvalid, NameTaken, NotFound, StateConflict
from registry.models import Namespace, Role, User
from registry.names import MAX_NAME

#: Number of organisations on the administrators' page.
MOST = 100

_PLAIN = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}


class OrganisationForm(forms.Form):
    """A new organisation."""

    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=MAX_NAME,
        help_text=gettext_lazy("The first part of addresses, as in name/adapter."),
        widget=forms.TextInput(attrs=_PLAIN),
    )
    admin = forms.CharField(
        label=gettext_lazy("First admin"),
        max_length=MAX_NAME,
        help_text=gettext_lazy("The name of a user, who can add other members."),
        widget=forms.TextInput(attrs=_PLAIN),
    )


class MemberForm(forms.Form):
    """A member and their role."""

    user = forms.CharField(
        label=gettext_lazy("User name"), max_length=MAX_NAME, widget=forms.TextInput(attrs=_PLAIN)
    )
    role = forms.ChoiceField(
        label=gettext_lazy("Role"), choices=Role.choices, initial=Role.WRITE.value
    )


@never_cache
@require_http_methods(["GET", "HEAD"])
def index(request: HttpRequest) -> HttpResponse:
    """List the user's organisations."""
    user = permissions.require_user(request.user)
    context = {"memberships": permissions.memberships(user)}
    return render(request, "pages/organisations.html", context)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def operator_index(request: HttpRequest) -> HttpResponse:
    """List all organisations; create one."""
    actor = permissions.require_operator(request.user)
    form = OrganisationForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid() and (new := _created(actor, form)):
        messages.success(request, _("The organisation is created."))
        return redirect("organisation", new.name)
    after = request.GET.get("after", "")[:MAX_NAME]
    found = organisations.listing(after=after, limit=MOST + 1)
    following = found[MOST - 1].name if len(found) > MOST else ""
    context = {"organisations": found[:MOST], "following": following, "form": form}
    status = 400 if form.errors else 200
    return render(request, "operator/organisations.html", context, status=status)


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def show(request: HttpRequest, owner: str) -> HttpResponse:
    """Show the members of an organisation to them; add one or change a role."""
    user, organisation = _seen(request, owner)
    form = MemberForm(request.POST if request.method == "POST" else None)
    if request.method == "POST" and form.is_valid() and _saved(user, organisation, form):
        text = _("The role of %(name)s is saved.") % {"name": form.cleaned_data["user"]}
        messages.success(request, text)
        return redirect("organisation", organisation.name)
    return _page(request, user, organisation, form=form)


@require_POST
def quota(request: HttpRequest, owner: str) -> HttpResponse:
    """Change the quota of an organisation."""
    actor = permissions.require_operator(request.user)
    user, organisation = _seen(request, owner)
    form = QuotaForm(request.POST, auto_id="quota_%s")
    if not form.is_valid():
        return _page(request, user, organisation, quota_form=form)
    quotas.set_limit(actor=actor, namespace=organisation, quota_bytes=form.cleaned_data["size"])
    messages.success(request, _("The quota is changed."))
    return redirect("organisation", organisation.name)


def _page(
    request: HttpRequest,
    user: User,
    organisation: Namespace,
    *,
    form: MemberForm | None = None,
    quota_form: QuotaForm | None = None,
) -> HttpResponse:
    form = form or MemberForm()
    is_row = form.is_bound and "row" in request.POST
    context = {
        "organisation": organisation,
        "members": organisations.members(organisation),
        "can_manage": organisations.manages(user, organisation),
        "roles": Role.choices,
        "used_bytes": quotas.used_by(organisation),
        "quota_bytes": quotas.limit_of(organisation),
        "form": MemberForm() if is_row else form,
        "row_errors": list(chain.from_iterable(form.errors.values())) if is_row else [],
        "quota_form": quota_form or QuotaForm(auto_id="quota_%s"),
        "is_operator": permissions.is_operator(user),
    }
    status = 400 if form.errors or quota_form is not None else 200
    return render(request, "pages/organisation.html", context, status=status)


@require_POST
def remove(request: HttpRequest, owner: str, user_id: int) -> HttpResponse:
    """Remove a member."""
    user, organisation = _seen(request, owner)
    row = organisations.members(organisation).filter(user=user_id).first()
    if row is None:
        raise NotFound(_("There is no such member."))
    member = row.user
    try:
        organisations.remove(actor=user, organisation=organisation, user=member)
    except StateConflict as error:
        messages.error(request, str(error.detail))
        return redirect("organisation", organisation.name)
    if member.pk == user.pk:
        text = _("You are no longer a member of “%(name)s”.") % {"name": organisation.name}
        messages.success(request, text)
        return redirect("organisations")
    text = _("%(name)s is no longer a member.") % {"name": member.username}
    messages.success(request, text)
    return redirect("organisation", organisation.name)


def _seen(request: HttpRequest, owner: str) -> tuple[User, Namespace]:
    """Return the user and the organisation, whose members only they and administrators see."""
    user = permissions.require_user(request.user)
    try:
        organisation = organisations.named(owner)
    except Moved as error:  # its page, not its adapters
        organisation = organisations.named(error.facts["full_name"])
    if not organisation.is_home_of(user) and not permissions.is_operator(user):
        raise NotFound(_("There is no organisation “%(name)s”.") % {"name": owner[:MAX_NAME]})
    return user, organisation


def _created(actor: User, form: OrganisationForm) -> Namespace | None:
    data = form.cleaned_data
    try:
        admin = selectors.named(data["admin"])
        return organisations.create(actor=actor, name=data["name"], admin=admin)
    except (NameInvalid, NameTaken) as error:
        form.add_error("name", str(error.detail))
    except (NotFound, Invalid) as error:
        form.add_error("admin", str(error.detail))
    return None


def _saved(actor: User, organisation: Namespace, form: MemberForm) -> bool:
    data = form.cleaned_data
    try:
        member = selectors.named(data["user"])
        organisations.set_role(
            actor=actor, organisation=organisation, user=member, role=data["role"]
        )
    except NotFound as error:
        form.add_error("user", str(error.detail))
    except (Invalid, StateConflict) as error:
        accept_faults(form, error.facts.get("fields", {}), str(error.detail))
    return not form.errors
