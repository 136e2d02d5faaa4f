"""Light formulas of plain text (x_{k+1} = x_k - lr g_k, sigma^2, <=) with proper signs, indices and exponents."""

from __future__ import annotations

import html
import re

_SIGNS = (("<->", "↔"), ("<-", "←"), ("->", "→"), ("<=", "≤"), (">=", "≥"), ("!=", "≠"), (" +- ", " ± "), (" ~ ", " ∼ "))
_GREEK = {
    "alpha": "α", "beta": "β", "gamma": "γ", "delta": "δ", "eps": "ε", "epsilon": "ε", "zeta": "ζ", "eta": "η", "theta": "θ", "kappa": "κ",
    "lambda": "λ", "mu": "μ", "rho": "ρ", "sigma": "σ", "tau": "τ", "phi": "φ", "omega": "ω", "pi": "π",
    "sqrt": "√", "nabla": "∇", "sum": "∑",
}  # fmt: skip
_LETTERS = re.compile(rf"(?<![A-Za-z0-9_])({'|'.join(sorted(_GREEK, key=len, reverse=True))})(?=[_^]|\b)")
_WORDS = {"sum": "_", "sqrt": "("}  # signs only where this follows
_GRAD = re.compile(r"\bgrad (?=[A-Za-z](_\w+)?\b)")
_NAMES = "lr|min|max|mean|noise|share"  # words that may bear an index of one letter; other_names are names
_BRACED = re.compile(r"(?<=[A-Za-z0-9α-ω∑)])_\{([^{}]*)\}|(?<=\))_\(([a-z])\)")
_INDEX = re.compile(rf"(?<![A-Za-z0-9_])(?:([A-Za-zα-ω∑])_([A-Za-z0-9]+)|({_NAMES})_([a-z]))(?![A-Za-z0-9_])")
_POWER = re.compile(r"(?:\^|(?<=\w)\*\*|(?<=\))\*\*)(?:\(([^()]*)\)|\{([^{}]*)\}|(-?[A-Za-z0-9.]*[A-Za-z0-9α-ω*]))")
_LOW, _HIGH, _END = "\ue000", "\ue001", "\ue002"  # marks that no text has


def marked(text: str) -> str:
    """The text with signs for words, and marks where an index (U+E000) or an exponent (U+E001) begins and where it ends (U+E002)."""
    text = _GRAD.sub("∇", re.sub(r"(?<=[a-z])_sq\b", "^2", text))
    text = _LETTERS.sub(_letter, text)
    for plain, sign in _SIGNS:
        text = text.replace(plain, sign)
    text = _BRACED.sub(lambda found: f"{_LOW}{_minus(found[1] or found[2])}{_END}", text)
    text = _INDEX.sub(lambda found: f"{found[1] or found[3]}{_LOW}{found[2] or found[4]}{_END}", text)
    return _POWER.sub(lambda found: f"{_HIGH}{_minus(found[1] or found[2] or found[3])}{_END}", text)


def to_rst(text: str) -> str:
    """The text as reStructuredText in which nothing but its indices and exponents is markup."""
    text = re.sub(r"([\\*_|`:<>\[\]])", r"\\\1", marked(text))
    return text.replace(_LOW, "\\ :sub:`").replace(_HIGH, "\\ :sup:`").replace(_END, "`\\ ")


def to_html(text: str) -> str:
    """The text as HTML within Markdown, in which nothing but its indices and exponents is markup."""
    text = re.sub(r"([\\*_`$\[\]|^~])", r"\\\1", html.escape(marked(" ".join(text.split())), quote=False))
    for mark, tag in ((_LOW, "sub"), (_HIGH, "sup")):
        text = re.sub(f"{mark}([^{_END}]*){_END}", rf"<{tag}>\1</{tag}>", text)
    return re.sub(r"(?<![\w.)-])-(?=\d)", "−", text)


def _letter(found: re.Match) -> str:
    """The sign for a letter's name; `sum` and `sqrt` are words unless an index or a bracket follows."""
    needs, after = _WORDS.get(found[1]), found.string[found.end() : found.end() + 1]
    return _GREEK[found[1]] if needs is None or after == needs else found[1]


def _minus(text: str) -> str:
    return text.replace("-", "−")
