"""The administration of a server: one table of verbs, as actions, as methods, and as commands.  Floor: SERVICES.

Law: nothing is written twice, and nothing that came over a link is run.  Docs: docs/admin.md.

    admin         all of it together: `Admin`
        state         how the server is           links       who is here, messages, farewells
        users         accounts                    membership  roles, keys, invitations, lines of JSON
        bans          networks, users, keys       logs        the log files (tail: their last lines)
        settings      what may change live        backups     of the stores, and schedules
        leaving       maintenance, draining, shutting down, starting again
    desk          where one administrator asks    office      what all of them share
    verbs         the table                       kinds       what an argument may be
    meter watch   what is measured; what is done as time goes by
    wording       a command line, help, completion            showing     what came of it, as lines
    shell typed console     where commands are typed
"""

from netstructer.services.admin.admin import TABLE, Admin
from netstructer.services.admin.console import ConsoleThread, console
from netstructer.services.admin.desk import ENTER
from netstructer.services.admin.leaving import RESTART_CODE
from netstructer.services.admin.settings import Setting

__all__ = ["ENTER", "RESTART_CODE", "TABLE", "Admin", "ConsoleThread", "Setting", "console"]
