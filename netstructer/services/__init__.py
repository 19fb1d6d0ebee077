"""What runs over links: accounts, actions, audit, chat, files, reports.  Floor: SERVICES.  Law: no façade is seen here.

store           one SQLite file: transactions, threads, processes; where every service keeps what it keeps
    schema      what such a file must hold, and how it comes from one version to the next
    backups     a store copied while it is in use, and put back
configuration   what a server is told by files, variables and the command line, for itself and for every service
"""
