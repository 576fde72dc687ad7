"""Keys, tokens and passwords, by the forms that their issuers publish.

detect-secrets knows more forms, but tells lines and not places, and takes 250 microseconds per prompt; nothing here may guess
by entropy, because prompts are full of hashes and code.
"""

import re

PLACEHOLDER = "[SECRET]"

_FORMS = (
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\Z)",
    r"\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b",  # AWS access key
    r"(?<=AccountKey=)[A-Za-z0-9+/=]{80,}",  # Azure storage
    r"\bAIza[0-9A-Za-z_-]{35}\b",  # Google
    r"\bgh[pousr]_[A-Za-z0-9]{36,}\b",  # GitHub
    r"\bgithub_pat_[A-Za-z0-9_]{60,}\b",
    r"\bgl(?:pat|dt|rt|ptt|soat)-[A-Za-z0-9_-]{20,}",  # GitLab
    r"\bxox[abposr]-[A-Za-z0-9-]{10,}",  # Slack
    r"\bhttps://hooks\.slack\.com/services/[A-Za-z0-9/]+",
    r"\bsk-(?:ant-|proj-|svcacct-)?[A-Za-z0-9_-]{20,}\b",  # OpenAI, Anthropic
    r"\b[sr]k_live_[0-9A-Za-z]{24,}\b",  # Stripe
    r"\bhf_[A-Za-z0-9]{30,}\b",  # Hugging Face
    r"\bnpm_[A-Za-z0-9]{36}\b",
    r"\bpypi-[A-Za-z0-9_-]{70,}",
    r"\bSG\.[A-Za-z0-9_-]{22}\.[A-Za-z0-9_-]{43}\b",  # SendGrid
    r"\b\d{8,10}:AA[0-9A-Za-z_-]{33}\b",  # Telegram
    r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}",  # JSON web token
    r"(?<=://)[^\s:/@]{1,64}:[^\s:/@]{3,64}(?=@[\w.-]+)",  # password in an address
)
_SECRET = re.compile("|".join(_FORMS), re.DOTALL)
# What every form has, looked for first, because most prompts have none of it.
_HINTS = (
    *(
        "PRIVATE KEY",
        "AKIA",
        "ASIA",
        "ABIA",
        "ACCA",
        "AccountKey=",
        "AIza",
        "ghp_",
        "gho_",
        "ghu_",
        "ghs_",
        "ghr_",
        "github_pat_",
    ),
    *(
        "glpat-",
        "gldt-",
        "glrt-",
        "glptt-",
        "glsoat-",
        "xox",
        "hooks.slack.com",
        "sk-",
        "k_live_",
        "hf_",
        "npm_",
        "pypi-",
        "SG.",
    ),
    *(":AA", ".eyJ", "://", "github_pat_"),
)


def redact(text: str) -> str:
    """The text with a placeholder for every secret."""
    return _SECRET.sub(PLACEHOLDER, text) if any(hint in text for hint in _HINTS) else text
