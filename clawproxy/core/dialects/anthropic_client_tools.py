"""The tools whose schema Anthropic's models have learned and which the *client* runs, as plain functions: other
models can call them, too, once they are told how.

:func:`read_client_tool` gives a :class:`ClientTool` for the shell, the text editor and the memory. The call
comes back as the ``tool_use`` that the client waits for, since only the offer differs.

The inputs: https://platform.claude.com/docs/en/agents-and-tools/tool-use/bash-tool, …/text-editor-tool and
…/memory-tool. Of the editor's commands ``insert`` is not offered: what its text is called has changed between
versions, and ``str_replace`` does the same.
"""

from __future__ import annotations

from attrs import frozen

from clawproxy.core.dialects.tools import FunctionTool

_TEXT = '{"type":"string"}'
_RANGE = (
    '{"type":"array","items":{"type":"integer"},"description":"view: first and last line, from 1; '
    '-1 is the end of the file."}'
)


def _commands(*commands: str, **members: str) -> bytes:
    names = ",".join(f'"{command}"' for command in commands)
    listed = "".join(f',"{name}":{schema}' for name, schema in members.items())
    properties = f'{{"command":{{"type":"string","enum":[{names}]}}{listed}}}'
    return f'{{"type":"object","properties":{properties},"required":["command"]}}'.encode()


_TOOLS: dict[str, tuple[str, str, bytes]] = {
    "bash_20": (
        "bash",
        "Runs a command in a bash session that persists between calls, and returns its output. Set restart "
        "to begin a new session.",
        b'{"type":"object","properties":{"command":{"type":"string"},"restart":{"type":"boolean"}}}',
    ),
    "text_editor_": (
        "str_replace_based_edit_tool",
        "Views and edits text files. view: show the file or directory at path. create: write file_text to a "
        "new file. str_replace: replace old_str, which must occur exactly once and match to the letter, by "
        "new_str.",
        _commands(
            "view",
            "create",
            "str_replace",
            path=_TEXT,
            view_range=_RANGE,
            file_text=_TEXT,
            old_str=_TEXT,
            new_str=_TEXT,
        ),
    ),
    "memory_": (
        "memory",
        "Keeps notes in files under /memories between conversations; look there before you begin. view: show "
        "the file or directory at path. create: write file_text. str_replace: replace old_str, which occurs "
        "once, by new_str. insert: put insert_text behind line insert_line. delete: remove path. rename: "
        "move old_path to new_path.",
        _commands(
            "view",
            "create",
            "str_replace",
            "insert",
            "delete",
            "rename",
            path=_TEXT,
            view_range=_RANGE,
            file_text=_TEXT,
            old_str=_TEXT,
            new_str=_TEXT,
            insert_line='{"type":"integer"}',
            insert_text=_TEXT,
            old_path=_TEXT,
            new_path=_TEXT,
        ),
    ),
}


@frozen(slots=True)
class ClientTool(FunctionTool):
    """A tool that Anthropic defines and the client runs, described as a function.

    :ivar raw: its JSON, for an upstream of Anthropic's.
    """

    raw: bytes = b""


def read_client_tool(kind: str, name: str | None, raw: bytes) -> ClientTool | None:
    """Describe a tool of the caller's, ``None`` if it is not one that the client runs.

    :param kind: its ``type``, which ends in the version's date.
    :param name: under which calls of it come back.
    :param raw: its JSON.
    """
    for prefix, (own_name, description, parameters) in _TOOLS.items():
        if kind.startswith(prefix):
            return ClientTool(name or own_name, description, parameters, raw=raw)
    return None
