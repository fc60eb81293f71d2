# Support code of Corral: `corral policy new` writes it. Don't edit it; override a decision in
# app.py.
"""The decisions of the built-in policy, for app.py to override."""

from corral.canonical import segment, tag, under
from corral.decisions import export
from corral.policy import Kept, Policy, Read
from corral.settings import objection

__all__ = ["Kept", "Policy", "Read", "export", "objection", "segment", "tag", "under"]
