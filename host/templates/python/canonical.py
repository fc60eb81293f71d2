"""Texts in the one form that names are made of, on every host and in every language."""

from hashlib import sha256

# Identifiers, numbers, dates and mail addresses read as themselves.
SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._@+-")


def segment(value):
    """A value inside a name: safe bytes and `%XX` alone, or `~` for null, so no two share one."""
    if value is None:
        return "~"
    return "".join(chr(byte) if byte in SAFE else f"%{byte:02X}" for byte in value.encode())


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
