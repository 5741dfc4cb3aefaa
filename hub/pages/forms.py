"""Forms of the pages. Forms convert input; services make the decisions."""

from __future__ import annotations

from itertools import chain
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.forms import AuthenticationForm, PasswordChangeForm
from django.db.models.functions import Lower
from django.forms.renderers import DjangoTemplates
from django.http import QueryDict
from django.utils.text import format_lazy
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from hub.pages.labels import RATING_LIMITS, RATING_MEANINGS
from previews.samples.services import MAX_CAPTION
from registry.accounts import users
from registry.accounts.permissions import writable_by
from registry.adapters.services import LIMITS
from registry.models import Kind, Maturity, Namespace, User, Visibility
from registry.names import key_of
from registry.versions.latest import MAX_REASON


class StyledField(forms.BoundField):
    """A field in a template; inputs get the CSS class of text inputs unless they have another."""

    def build_widget_attrs(
        self, attrs: dict[str, Any], widget: forms.Widget | None = None
    ) -> dict[str, Any]:
        """Return the attributes of the input."""
        used = widget or self.field.widget
        is_plain = isinstance(used, forms.CheckboxSelectMultiple | forms.HiddenInput)
        style = {} if is_plain or "class" in used.attrs else {"class": "in"}
        built = style | dict(super().build_widget_attrs(attrs, widget))
        if described := self.aria_describedby:  # Django leaves it to the fieldset of checkboxes
            built.setdefault("aria-describedby", described)
        return built


class Renderer(DjangoTemplates):
    """The renderer of all forms (``FORM_RENDERER``)."""

    bound_field_class = StyledField


def accept_faults(form: forms.BaseForm, faults: dict[str, Any], fallback: str) -> None:
    """Add a service's error messages to the fields of a form."""
    placed = False
    for field, sentences in faults.items():
        if field in form.fields:
            for text in [sentences] if isinstance(sentences, str) else sentences:
                form.add_error(field, str(text))
                placed = True
    if not placed:
        form.add_error(None, fallback)


class OwnedForm(forms.Form):
    """A form of a new adapter or pack; ``offer_owners`` must be called first."""

    owner = forms.ChoiceField(
        label=_("Owner"), required=False, widget=forms.Select(attrs={"class": "in auto"})
    )

    def offer_owners(self, user: User) -> None:
        """Offer the owners under whose names the user may publish; one alone needs no field."""
        spaces = {space.name: space for space in writable_by(user).distinct().order_by("key")}
        self._owners = {user.namespace.name: user.namespace, **spaces}
        if len(self._owners) == 1:
            del self.fields["owner"]
        else:
            self.fields["owner"].choices = [(name, name) for name in self._owners]  # type: ignore[attr-defined]  # of this field

    @property
    def namespace(self) -> Namespace:
        """Return the chosen owner; by default the user."""
        usual = next(iter(self._owners))
        return self._owners[self.cleaned_data.get("owner") or usual]


class ConfirmedForm(forms.Form):
    """A form that is confirmed by typing a name."""

    name = forms.CharField(label=_("Confirmation"), max_length=200)

    def __init__(self, data: QueryDict | None, *, name: str) -> None:
        super().__init__(data)
        text = gettext("Type “%(name)s” to confirm. This cannot be undone.")
        self.fields["name"].help_text = text % {"name": name}
        self.fields["name"].widget.attrs["autocomplete"] = "off"
        self._name = name

    def clean_name(self) -> str:
        """Require the exact name.

        Raises:
            ValidationError: the name differs.
        """
        typed = str(self.cleaned_data["name"])
        if typed.strip() != self._name:
            raise forms.ValidationError(gettext("Type “%(name)s” exactly.") % {"name": self._name})
        return typed


class SignInForm(AuthenticationForm):
    """User name, which is case-insensitive, and password."""

    error_messages = {
        "invalid_login": _("This name and password do not match."),
        "inactive": _("This account is closed."),
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Django's signature
        super().__init__(*args, **kwargs)
        self.fields["username"].label = _("Name")

    def clean_username(self) -> str:
        """Return the stored spelling of the name."""
        given = str(self.cleaned_data["username"])
        rows = User.objects.annotate(key=Lower("username")).filter(key=key_of(given))
        return rows.values_list("username", flat=True).first() or given


class SignUpForm(forms.Form):
    """A new account."""

    name = forms.CharField(
        label=_("Name"),
        max_length=96,
        help_text=_("Part of the addresses of your adapters: letters, digits, “-”, “_” and “.”."),
        widget=forms.TextInput(attrs={"autocomplete": "username", "autocapitalize": "none"}),
    )
    email = forms.EmailField(
        label=_("E-mail"),
        widget=forms.EmailInput(attrs={"autocomplete": "email"}),
        help_text=_(
            "Required. Only administrators see it. They can help you if you lose your password."
        ),
    )
    password = forms.CharField(
        label=_("Password"),
        help_text=_("At least eight characters. Common passwords are not allowed."),
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )

    def clean(self) -> dict[str, Any]:
        """Report the errors of all fields at once."""
        given = {field: str(self.data.get(field, "")) for field in self.fields}
        for field, sentences in users.sign_up_faults(**given).items():
            if field not in self.errors:
                self.add_error(field, sentences)
        return self.cleaned_data


class PasswordForm(PasswordChangeForm):
    """A new password, with the old one."""

    revokes_tokens = forms.BooleanField(
        label=_("Revoke all access tokens as well"),
        required=False,
        help_text=_(
            "Signs out all programs that use one. Do this if somebody else may know the old "
            "password."
        ),
        widget=forms.CheckboxInput(attrs={"class": ""}),
    )

    error_messages = {
        "password_incorrect": _("This is not your password."),
        "password_mismatch": _("The two passwords differ."),
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Django's signature
        super().__init__(*args, **kwargs)
        self.fields["old_password"].label = _("Current password")
        self.fields["new_password1"].label = _("New password")
        self.fields["new_password1"].help_text = _(
            "At least eight characters. Common passwords are not allowed."
        )
        self.fields["new_password2"].label = _("New password again")
        self.fields["new_password2"].help_text = ""

    def clean(self) -> dict[str, Any]:
        """Report errors of the password at its first field."""
        self.validate_passwords("new_password1", "new_password2")
        self.validate_password_for_user(self.user, "new_password1")
        return self.cleaned_data


#: Permissions of a token, without that of administrators.
SCOPES = [
    ("read", _("Read: see and download what you have access to")),
    ("write", _("Write: publish and change adapters")),
]


class TokenForm(forms.Form):
    """A new access token."""

    name = forms.CharField(
        label=_("What is it for?"),
        max_length=80,
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )
    scopes = forms.MultipleChoiceField(
        label=_("Permissions"),
        choices=SCOPES,
        initial=["read", "write"],
        widget=forms.CheckboxSelectMultiple,
    )
    bound_to = forms.CharField(
        label=_("Only for"),
        required=False,
        strip=True,
        help_text=_("An owner, or an adapter as owner/name. Leave it empty for no limit."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none"}),
    )
    days = forms.TypedChoiceField(label=_("Expires after"), coerce=int)

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - Django's signature
        super().__init__(*args, **kwargs)
        usual: int = settings.LORARY.token_days
        lasting = sorted({7, 30, 90, 365, usual} - {0})
        choices = [(n, ngettext("%(n)d day", "%(n)d days", n) % {"n": n}) for n in lasting]
        days = self.fields["days"]
        days.choices, days.initial = [*choices, (0, _("never"))], usual  # type: ignore[attr-defined]  # of this field


class UserCodeForm(forms.Form):
    """The code that a program shows."""

    user_code = forms.CharField(
        label=_("Code"),
        max_length=40,
        help_text=_("Eight letters, as your terminal shows them."),
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "autocapitalize": "characters", "spellcheck": "false"}
        ),
    )


#: A line for each content rating.
RATING_HELP = format_lazy(
    "\n".join(["{}: {}"] * len(RATING_MEANINGS)),
    *chain.from_iterable((level.label, text) for level, text in RATING_MEANINGS.items()),
)
#: Ratings of a single picture; without one, that of the adapter applies.
PICTURE_RATINGS = [("", _("Same as the adapter")), *Maturity.choices]


class ContentForm(forms.Form):
    """The highest content rating of pictures that a user sees without a blur."""

    level = forms.ChoiceField(choices=list(RATING_LIMITS.items()))


class AdapterForm(forms.Form):
    """Card fields of an adapter."""

    title = forms.CharField(label=_("Title"), max_length=LIMITS["title"], required=False)
    summary = forms.CharField(
        label=_("Summary"),
        max_length=LIMITS["summary"],
        required=False,
        help_text=_("One sentence: what does it do to a picture?"),
    )
    kind = forms.ChoiceField(label=_("Kind"), choices=Kind.choices)
    tags = forms.CharField(
        label=_("Tags"), required=False, help_text=_("Separate them with commas.")
    )
    licence = forms.CharField(
        label=_("Licence for pictures"),
        max_length=LIMITS["licence"],
        required=False,
        widget=forms.TextInput(attrs={"list": "licences"}),
        help_text=_(
            "What others may do with pictures that they make with it: one from the list, the id "
            "of another licence, or your own words."
        ),
    )
    maturity = forms.ChoiceField(
        label=_("Content rating"), choices=Maturity.choices, help_text=RATING_HELP
    )
    visibility = forms.ChoiceField(label=_("Visibility"), choices=Visibility.choices)
    card = forms.CharField(
        label=_("Card"),
        max_length=LIMITS["card"],
        required=False,
        help_text=_("Markdown. Also describe the limitations."),
        widget=forms.Textarea(attrs={"rows": 14}),
    )

    def clean_tags(self) -> list[str]:
        """Return the tags as a list without empty ones."""
        return [tag.strip() for tag in str(self.cleaned_data["tags"]).split(",") if tag.strip()]


class SampleForm(forms.Form):
    """The caption and the content rating of a gallery image."""

    caption = forms.CharField(
        label=_("Caption"),
        required=False,
        max_length=MAX_CAPTION,
        widget=forms.Textarea(attrs={"rows": 3}),
    )
    maturity = forms.ChoiceField(
        label=_("Content rating"), required=False, choices=PICTURE_RATINGS, help_text=RATING_HELP
    )


class YankForm(forms.Form):
    """Reason for yanking a version."""

    reason = forms.CharField(
        label=_("Reason (required)"),
        max_length=MAX_REASON,
        help_text=_("Public. Tell users of this version in one sentence why you are yanking it."),
    )
