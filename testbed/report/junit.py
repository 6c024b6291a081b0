"""Verdicts as JUnit XML, so that a CI system shows claims as tests: fail is a failure, unknown an error."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as xml

from testbed.units import counted

#: What XML 1.0 can't hold (a message may quote anything).
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def junit(found: Mapping[str, Any]) -> str:
    """found: what verdicts.json holds. No time stamps: the same verdicts give the same text."""
    claims = found["claims"]
    suites = xml.Element("testsuites", name="shaketable")
    for name in dict.fromkeys(c["file"] for c in claims):
        mine = [c for c in claims if c["file"] == name]
        suite = xml.SubElement(
            suites, "testsuite", name=name, tests=str(len(mine)),
            failures=str(sum(c["verdict"] == "fail" for c in mine)),
            errors=str(sum(c["verdict"] == "unknown" for c in mine)),
        )  # fmt: skip
        for c in mine:
            case = xml.SubElement(suite, "testcase", classname=name, name=c["id"])
            text = _FORBIDDEN.sub("?", words(c))
            if c["verdict"] in ("fail", "unknown"):
                kind = "failure" if c["verdict"] == "fail" else "error"
                xml.SubElement(case, kind, message=text, type=c["verdict"]).text = "\n".join(
                    _FORBIDDEN.sub("?", d) for d in c["doubts"]
                )
            else:
                xml.SubElement(case, "system-out").text = text
    xml.indent(suites)
    return xml.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def words(c: Mapping[str, Any]) -> str:
    """A claim's verdict in one line."""
    wanted = f"at least {c['at_least']:g}" if c["at_least"] is not None else f"at most {c['at_most']:g}"
    asked = f"{c['metric']} {wanted}"
    if c["verdict"] == "unknown" and c["doubts"]:
        more = f" (and {len(c['doubts']) - 1} more)" if len(c["doubts"]) > 1 else ""
        return f"{asked}: unknown, {c['doubts'][0]}{more}"
    at = f" at {c['binding']}" if c.get("binding") else ""
    value = f"{counted(c['runs'], 'run')} {c['estimate']:.4g}{at}"
    if c["lower"] is None:
        return f"{asked}: {c['verdict']}, {'worst of ' if c['statistic'] == 'worst' else ''}{value}"
    bound = f"[{c['lower']:.4g}, {c['upper']:.4g}]"
    return f"{asked}: {c['verdict']}, mean of {value}, one-sided bounds {bound} at level {c['level']:.3g}"
