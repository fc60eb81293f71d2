# Support code of Corral: `corral policy new` writes it. Don't edit it; override a decision in
# app.py.
"""Texts in the one form that names are made of, on every host and in every language."""

from hashlib import sha256

# Bytes that stand for themselves: identifiers, numbers, dates and mail addresses stay readable.
SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@+-")

# Longest tag that stays as it is, and how much stays of a longer tag before its digest.
TAG_BYTES_MAX = 192
TAG_BYTES_KEPT = 128


def segment(value):
    """A value inside a name: safe bytes and `%XX`, or `~` for null. No two values share one."""
    if value is None:
        return "~"
    return "".join(chr(byte) if byte in SAFE else f"%{byte:02X}" for byte in value.encode())


def tag(name, value):
    """The tag `name:value`, with the value as every key and tag spells it."""
    return shortened(f"{name}:{segment(value)}")


def under(prefix, key):
    """The same key behind a prefix of its own: `prefix:key`."""
    return f"{prefix}:{key}"


def shortened(tag):
    """A tag's text as it is or, if it is long, its beginning and a digest."""
    content = tag.encode()
    if len(content) <= TAG_BYTES_MAX:
        return tag
    beginning = content[:TAG_BYTES_KEPT].decode(errors="ignore")
    return f"{beginning}~{Digest('corral:tag:1').text(tag).hex()}"


class Digest:
    """SHA-256 over fields with their lengths before them: moving text between fields changes it."""

    def __init__(self, domain):
        self.hash = sha256()
        self.text(domain)

    def text(self, text):
        content = text.encode()
        self.hash.update(len(content).to_bytes(8, "little"))
        self.hash.update(content)
        return self

    def value(self, value):
        self.hash.update(b"\0" if value is None else b"\1")
        return self if value is None else self.text(value)

    def hex(self):
        return self.hash.hexdigest()
