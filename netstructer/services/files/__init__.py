"""Files: what the users of a server keep there, and share.  Floor: SERVICES.  Docs: docs/shared-files.md.

shared      all of it together        verbs       sharing, removing, renaming
tree        what a user sees, and which real directory is meant        spelling    listings as their asker spells them
visitors    whose files, and what he may        shares      which of them others may have
rations     quotas, and room on the disk

Requests are answered by `services.room`.
"""

from netstructer.services.files.rations import QUOTA
from netstructer.services.files.shared import ROLES, SharedFiles, define_roles
from netstructer.services.files.shares import Share
from netstructer.services.room import Answered, Room

__all__ = ["QUOTA", "ROLES", "Answered", "Room", "Share", "SharedFiles", "define_roles"]
