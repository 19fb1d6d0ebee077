"""Configuration: what a server is told by files, variables and the command line.  Floor: SERVICES.

Law: everything is made from one table of options; nothing that is read is run, and no key stands in it.

    option      a row: name, kind, unit, least and most, default, why      units      64 MiB, 2 min
    section     a table of them, and the registry of tables                tables limit_table     those of every server
    document    a file as it stands, TOML or JSON       lines       in which line a key is
    loading     file < environment < command line, and where each value is from
    origin      where that was, and what is wrong there
    writing     the other way, and an example       server_options      what `Server` takes
"""

from __future__ import annotations

from netstructer.services.configuration.document import Document, read_document
from netstructer.services.configuration.loading import Configuration, Given, load
from netstructer.services.configuration.option import Option, Value
from netstructer.services.configuration.origin import Origin, Problem, Strength
from netstructer.services.configuration.section import Section, Sections
from netstructer.services.configuration.server_options import (
    listening_places,
    server_arguments,
    server_options,
)
from netstructer.services.configuration.tables import SECTIONS
from netstructer.services.configuration.writing import write_example, write_json, write_shown, write_toml

__all__ = [
    "SECTIONS",
    "Configuration",
    "Document",
    "Given",
    "Option",
    "Origin",
    "Problem",
    "Section",
    "Sections",
    "Strength",
    "Value",
    "listening_places",
    "load",
    "read_document",
    "server_arguments",
    "server_options",
    "write_example",
    "write_json",
    "write_shown",
    "write_toml",
]
