"""Files: what the users of a server keep there, and share.  Floor: SERVICES.  Docs: docs/shared-files.md."""
