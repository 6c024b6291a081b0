"""`testbed completion`: what a shell needs to finish a word, made from the command's own argparse tree."""

from __future__ import annotations

import argparse
import shlex

_BASH = """# testbed: words, options and values; `testbed completion SHELL` makes it again
_testbed() {{
    local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD-1]}} word= i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${{COMP_WORDS[i]}} in -*) ;; *) word=${{COMP_WORDS[i]}}; break ;; esac
    done
    COMPREPLY=()
    case "$word $prev" in
{values}
    esac
    if [[ $cur == -* || -z $word ]]; then
        case "$word" in
{words}
        esac
        return
    fi
    case "$word" in
{positions}
    esac
    COMPREPLY=($(compgen -f -- "$cur"))
}}
complete -o filenames -F _testbed testbed shaketable ./shaketable .venv/bin/testbed
"""
_ZSH = "autoload -U +X compinit && compinit\nautoload -U +X bashcompinit && bashcompinit\n"


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """Lines to be sourced. shell: bash | zsh (through its own bash completion)."""
    (words,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    options = {"": _options(parser) + sorted(words.choices)}
    values: list[str] = []
    positions: list[str] = []
    for word, sub in words.choices.items():
        options[word] = _options(sub)
        for a in sub._actions:
            if a.choices is not None and a.option_strings:
                at = "|".join(shlex.quote(f"{word} {o}") for o in a.option_strings)
                values.append(f"        {at}) {_reply(sorted(map(str, a.choices)))}; return ;;")
            elif a.choices is not None:
                positions.append(f"        {word}) {_reply(sorted(map(str, a.choices)))}; return ;;")
            elif a.option_strings and a.nargs != 0:  # a path or a value of its own: files are the best guess
                at = "|".join(shlex.quote(f"{word} {o}") for o in a.option_strings)
                values.append(f'        {at}) COMPREPLY=($(compgen -f -- "$cur")); return ;;')
    lines = [f'        "{w}") {_reply(found)} ;;' for w, found in options.items()]
    text = _BASH.format(values="\n".join(values), words="\n".join(lines), positions="\n".join(positions))
    return (_ZSH if shell == "zsh" else "") + text


def _options(p: argparse.ArgumentParser) -> list[str]:
    return [o for a in p._actions for o in a.option_strings]


def _reply(words: list[str]) -> str:
    return f'COMPREPLY=($(compgen -W {shlex.quote(" ".join(words))} -- "$cur"))'
