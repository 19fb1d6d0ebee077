"""Files of options, written: values as TOML and JSON, and an example that explains itself.  Floor: SERVICES.

Law: what is written here is read again as the same values.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping

from netstructer.services.configuration.loading import Configuration
from netstructer.services.configuration.option import Option, Value
from netstructer.services.configuration.section import Section, Sections
from netstructer.services.configuration.tables import SECTIONS

__all__ = ["write_example", "write_json", "write_shown", "write_toml"]

_WIDTH = 100
"""Characters of a line of comment."""


def write_toml(values: Mapping[str, Value], *, sections: Sections = SECTIONS) -> str:
    """Return values, by full name, as TOML; those that are None are left out.  Raises `KeyError` for an unknown one."""
    parts = [
        "\n".join([f"[{name}]", *(f"{key} = {toml_value(written)}" for key, written in table.items())])
        for name, table in _tables(values, sections).items()
    ]
    return "\n\n".join(parts) + "\n" if parts else ""


def write_json(values: Mapping[str, Value], *, sections: Sections = SECTIONS) -> str:
    """Return values, by full name, as JSON; those that are None are left out.  Raises `KeyError` for an unknown one."""
    return json.dumps(_tables(values, sections), indent=2) + "\n"


def write_shown(configuration: Configuration) -> str:
    """Return all values of a configuration as TOML, each with where it is from; what is not set stands in a comment."""
    return "\n".join(line for section in configuration.sections for line in _shown_section(configuration, section))


def write_example(sections: Sections = SECTIONS) -> str:
    """Return a file of TOML with every option, explained; all are comments, with the value that each has anyway or an
    example, so that the file changes nothing until somebody takes a mark away.
    """
    lines = [
        *_comment(
            "A configuration of netstructer.  Each option stands here with what counts without it or, where nothing "
            "does, with an example: take the # in front of it away to change it.  What is wrong with a file says "
            "netstructer config check FILE, and what counts netstructer config show --config FILE."
        ),
    ]
    for section in sections:
        lines += ["", *_comment(section.help), f"[{section.name}]"]
        for option in section.options:
            lines += ["", *_explained(option), f"#{option.name} = {toml_value(_exemplary(option))}"]
    return "\n".join(lines) + "\n"


def toml_value(written: object) -> str:
    """Return what `Option.write` gives, as TOML has it."""
    if isinstance(written, list):
        return f"[{', '.join(map(toml_value, written))}]"
    if isinstance(written, str):
        return json.dumps(written, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(written, bool):
        return "true" if written else "false"
    return repr(written)


def _tables(values: Mapping[str, Value], sections: Sections) -> dict[str, dict[str, object]]:
    tables: dict[str, dict[str, object]] = {}
    for name, value in values.items():
        option = sections.options[name]
        section, _, short = name.partition(".")
        if value is not None:
            tables.setdefault(section, {})[short] = option.write(value)
    return tables


def _shown_section(configuration: Configuration, section: Section) -> Iterator[str]:
    yield f"[{section.name}]"
    rows = []
    for option in section.options:
        name = f"{section.name}.{option.name}"
        value = configuration.values[name]
        left = f"#{option.name} =" if value is None else f"{option.name} = {toml_value(option.write(value))}"
        rows.append((left, "not set" if value is None else _printable(str(configuration.origins[name]))))
    width = min(max(len(left) for left, _ in rows), _WIDTH // 2) if rows else 0
    yield from (f"{left:{width}}  # {right}" for left, right in rows)
    yield ""


def _printable(text: str) -> str:
    """Return a text that ends no line: whatever a file is called, what is written stays what it is."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _explained(option: Option) -> list[str]:
    return _comment(f"{option.help}  Takes {option.expected}.")


def _comment(text: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_long_words=False)


def _exemplary(option: Option) -> object:
    value = option.default if option.default is not None else option.example
    return option.write(value if value is not None else "")
