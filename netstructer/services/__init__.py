"""What runs over links: accounts, actions, audit, chat, files, reports.  Floor: SERVICES.  Law: no façade is seen here.

store           one SQLite file: transactions, threads, processes; where every service keeps what it keeps
    schema      what such a file must hold, and how it comes from one version to the next
    backups     a store copied while it is in use, and put back
accounts        who may come in, as what, and how much
    passwords   Argon2id, behind a gate       password_policy    what a new one must be
    usernames   one spelling for each         roles     names for sets of permissions
    duplicate_logins    what becomes of a user's second link
configuration   what a server is told by files, variables and the command line, for itself and for every service
logs            log files of a server or a client, for whoever asks for them
    outlets     the handlers behind them      rolling   files that begin anew when they are full
    lines       what a record looks like
reports         files of facts: CSV, TXT, JSON, Markdown
    cells       what may stand in one         formats   how it is written, and its columns read back
    account_reports   who has an account, and what is counted about each
    ready       the usual ones                report_files   new ones, and ones that are added to
audit           who did what, in rows that cannot be changed unseen
    audit_chain   rows, their tags, and whether they are those that were written      anchors   heads noted elsewhere
    audit_reader  rows, the head, the verdict     audit_reports   what they say about links, users, files
files           what users keep at a server, and share
admin           what may be asked of a server, over a link, at its console, in Python: one table
audited         what happens at a server, told to its audit
notices         what a server tells its clients of its own accord
chat            rooms, private messages, a history
printing        text as a line of a file or a terminal may hold it
room            how requests for files are answered, each link in a thread      patience    how long is waited
"""
