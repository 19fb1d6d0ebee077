"""Drop-in names of what users come from: `netstructer2`, `multiprocessing`, `pnetwork`.  Floor: ROOF.

Law: thin, and on the public names only; what cannot be kept says so when it is asked for (docs/compat.md).
"""
