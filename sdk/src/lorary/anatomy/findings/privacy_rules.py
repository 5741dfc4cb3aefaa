"""Rules for private data: token formats, paths, and fields with the names of users.

A rule has the code and the kind of its finding, marks, and a pattern. Each text that the pattern
matches contains one of the marks, which are fast to search. Patterns are bounded, so that hostile
text takes linear time and little memory (`tools/fuzz/patterns.py` checks each of them), and begin
with a fixed character if possible, so that ordinary text takes little time. Sources: the token
formats that the services publish, and the arguments that trainers write into files.
"""

from __future__ import annotations

import re
from typing import NamedTuple


class Rule(NamedTuple):
    """How one kind of private data is found.

    Attributes:
        marks: Texts of which at least one is in every match, in lower case and without digits,
            spaces, commas and brackets.
    """

    code: str  # code of its finding
    kind: str  # kind of data
    marks: tuple[str, ...]
    pattern: re.Pattern[str]  # what the data looks like


def _path(kind: str, marks: tuple[str, ...], start: str) -> Rule:
    return Rule("privacy_path", kind, marks, re.compile(f"(?:{start}){_PATH_REST}"))


def _secret(kind: str, marks: tuple[str, ...], pattern: str, flags: int = 0) -> Rule:
    return Rule("privacy_secret", kind, marks, re.compile(pattern, flags))


# The value of a field: not absent, and not just a number, such as the count of a tag.
_VALUE = (
    r"[\"'\\]{0,8}\s{0,4}[:=\t]\s{0,4}[\"'\\]{0,8}"
    r"(?!(?i:none|null|true|false|undefined|\d{1,20})\b)[^\s\"',;\\}\])]{6,}"
)


def _after(noun: str, kinds: str) -> str:
    """Match a noun only after one of the kinds, with or without a separator."""
    forms = [form for kind in kinds.split() for form in (f"{kind}{noun}", f"{kind}[_-]{noun}")]
    return "(?:" + "|".join(f"(?<=(?i:{form}))" for form in forms) + ")"


_KEY_KINDS = _after("key", "api access secret private wandb civitai hf huggingface")
_TOKEN_KINDS = _after(
    "token", "auth access api hf hub huggingface civitai wandb bot refresh secret"
)


def _credential(marks: tuple[str, ...], noun: str, prefix: str) -> Rule:
    # The noun comes first, since a pattern that begins with one letter is found fast.
    return _secret("credential", marks, noun + prefix + _VALUE)


# A path goes on through a space only where a separator follows: `C:\Users\Anna Smith\set`.
# Only the last repetition is unlimited, because nothing follows that could fail. A repeated group
# stores every round: without a limit, 900,000 rounds took 860 MB. Only one of the two forms of a
# round matches at any position, so there is only one way to divide a text.
_PATH_CHAR = r"""[^\s"'<>|,;()\[\]{}`]"""
_PATH_SPACE = r"""[ ](?=[^\s"'<>|,;:()\[\]{}`\\/]{1,40}[\\/])"""
_PATH_REST = rf"(?:{_PATH_CHAR}{{1024}}|{_PATH_CHAR}{{0,1023}}{_PATH_SPACE}){{0,128}}{_PATH_CHAR}*"
_FREE = r"(?<![\w.\-]/)"  # after the first slash: not part of a longer word or of a web address
_HOMES = (
    r"(?:(?<=/var/)|(?<=/export/)|(?<=/nfs/)|(?<=/cluster/)|(?<=/usr/)|(?<=/[A-Za-z]/)|"
    + _FREE
    + ")"
)
_DRIVE = r":(?<=[A-Za-z]:)(?<![A-Za-z0-9][A-Za-z]:)[\\/]{1,8}"  # JSON in JSON doubles backslashes

# Marks of up to five characters are looked for several times faster than longer ones.
_PATHS = (
    _path(
        "user_path",
        ("users", "dsett"),
        _DRIVE + r"(?i:users|documents and settings)[\\/]{1,8}(?=[^\s\\/\"'])",
    ),
    _path("user_path", ("users",), rf"/{_HOMES}Users/(?=[^\s/\"'\\])"),
    _path("user_path", ("home/",), rf"/{_HOMES}home/(?=[^\s/\"'\\])"),
    _path("user_path", ("/medi", "/volu"), rf"/{_FREE}(?:media|Volumes)/[^\s/\"'\\]{{1,255}}/"),
    _path("file_url", ("file:",), r"(?<![A-Za-z])(?i:file):/{1,3}(?=[^\s/\"'])"),
    _path(
        "network_path",
        ("\\\\",),
        r"\\(?<![\\\w]\\)(?:\\[A-Za-z0-9][\w.\-]{1,255}\\(?!\\)"
        r"|\\{3}[A-Za-z0-9][\w.\-]{1,255}\\{2}(?!\\)|\\{7}[A-Za-z0-9][\w.\-]{1,255}\\{4}(?!\\))"
        r"(?=[\w$])",
    ),
    _path("computer_path", ("/root", "/mnt/"), rf"/{_FREE}(?:root|mnt)/(?=[^\s\"'])"),
    _path("computer_path", (":\\", ":/"), _DRIVE + r"(?=[\w.\- ]{1,80}[\\/.])"),
    _path(
        "computer_path",
        ("/",),
        r"/(?:(?<=[\"'=\s,(\[]/)|(?<=^/))(?=[A-Za-z][\w.\-]{1,80}/[\w.\- ]{2})",
    ),
)

_SECRETS = (
    _secret("huggingface_token", ("hf_", "_org_"), r"(?:\bhf|\bapi_org)_[A-Za-z0-9]{30,}"),
    _secret(
        "api_key",
        ("sk-", "nvapi", "rpa_", "gsk_", "aiza"),
        r"\bsk-(?:(?=[A-Za-z_\-]{0,60}\d)[\w\-]{20,}|[A-Za-z0-9]{32,})|\bnvapi-[A-Za-z0-9_\-]{30,}"
        r"|\brpa_[A-Za-z0-9]{30,}|\bgsk_[A-Za-z0-9]{30,}"
        r"|\bAIza[A-Za-z0-9_\-]{35}",
    ),
    _secret("api_key", ("r_",), r"r8_(?<!\wr8_)[A-Za-z0-9]{30,}"),
    _secret("aws_key", ("akia", "asia"), r"\b(?:AKIA|ASIA)[0-9A-Z]{16}"),
    _secret(
        "github_token",
        ("ghp_", "gho_", "ghu_", "ghs_", "ghr_", "_pat_"),
        r"\bgh[pousr]_[A-Za-z0-9]{30,}|\bgithub_pat_[A-Za-z0-9_]{20,}",
    ),
    _secret("gitlab_token", ("lpat-",), r"\bglpat-[A-Za-z0-9_\-]{16,}"),
    _secret("slack_token", ("xox",), r"\bxox[abeoprs]-[A-Za-z0-9\-]{10,}"),
    _secret(
        "webhook",
        ("hooks",),
        r"hooks\.slack\.com/services/[\w/]{8,}|/api/webhooks/\d{5,32}/[\w\-]{8,}",
    ),
    _secret(
        "wandb_key",
        ("wandb",),
        r"(?i:wandb)[^\n,;{}\[\]]{0,60}\b[0-9a-f]{40}\b|\bwandb_v1_[A-Za-z0-9_\-]{20,}",
    ),
    _secret(
        "bearer_token",
        ("eare",),
        r"\b(?i:bearer)\s{1,4}(?:(?=[A-Za-z._~+/\-]{0,60}\d)[A-Za-z0-9._~+/\-]{16,}|[A-Za-z]{24,})",
    ),
    _secret(
        "web_token",
        ("eyj",),
        r"(?<![\w\-])eyJ[A-Za-z0-9_\-]{8,1024}\.eyJ[A-Za-z0-9_\-]{8}[\w.\-]*",
    ),
    _secret("private_key", ("--beg",), r"-----BEGIN [A-Z ]{0,30}PRIVATE KEY-----[^\"]*"),
    _secret(
        "signed_url",
        ("?", "&"),
        r"[?&](?:amp;)?(?:token|access_token|auth_token|api_?key|key|sig|signature|x-amz-signature"
        r"|x-amz-credential|x-amz-security-token|x-goog-signature|x-goog-credential)"
        r"=[^&\s\"'<>\\]{8,}",
        re.IGNORECASE,
    ),
    _secret("url_password", ("@",), r"://[^\s/@:\"'\\]{1,64}:[^\s/@\"'\\]{1,128}@(?=[\w\[])"),
    _credential(
        ("_key", "pikey", "sskey", "etkey", "i-key", "s-key", "t-key"),
        "[kK][eE][yY]",
        _KEY_KINDS,
    ),
    _credential(("oken",), "[tT][oO][kK][eE][nN]", _TOKEN_KINDS),
    _credential(("secr",), "[sS][eE][cC][rR][eE][tT]", "(?<![A-Za-z]secret)"),
    _credential(("passw", "passp"), "[pP][aA][sS][sS](?i:word|wd|phrase)", ""),
)  # fmt: skip

_NAMED = (
    r"[\"\\]{0,8}(?:\t|\s?:\s?\\{0,7}\")(?!(?i:none|null|true|false|localhost)\b)"
    r"[^\s\"\\{\[][^\n\"\\]*"
)
_USERS = (
    Rule(
        "privacy_user",
        "user_name",
        ("serna", "ser_n", "serid", "ser_i", "login", "log_i", "ognam"),
        re.compile(r"(?:user_?(?:[Nn]ame|[Ii]d)|USER_?NAME|log_?in(?:_name)?|logname)" + _NAMED),
    ),
    Rule(
        "privacy_user",
        "computer_name",
        ("ostna", "ost_n", "utern", "uter_", "inena", "ine_n"),
        re.compile(r"(?:host_?[Nn]ame|HOST_?NAME|computer_?[Nn]ame|machine_?[Nn]ame)" + _NAMED),
    ),
)

RULES = (*_SECRETS, *_PATHS, *_USERS)
"""All rules, the most serious leaks first."""
