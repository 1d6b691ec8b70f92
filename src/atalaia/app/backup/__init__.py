"""Backups of a site: made while it runs, kept in a folder or bucket, and turned into a site again."""

from atalaia.app.backup.creation import create
from atalaia.app.backup.manifest import Manifest
from atalaia.app.backup.republishing import republish
from atalaia.app.backup.restoration import Restored, check, restore
from atalaia.app.backup.retention import Pruned, chosen, prune, verify
from atalaia.app.backup.site import Site
from atalaia.app.backup.target import Target, open_target

__all__ = [
    "Manifest",
    "Pruned",
    "Restored",
    "Site",
    "Target",
    "check",
    "chosen",
    "create",
    "open_target",
    "prune",
    "republish",
    "restore",
    "verify",
]
