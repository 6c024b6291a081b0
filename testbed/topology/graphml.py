"""GraphML through networkx, entities refused before any XML parser sees them."""

from __future__ import annotations

from xml.etree.ElementTree import ParseError

from testbed.errors import InputError, Problem
from testbed.topology.gml import Graph


def read_graphml(text: str, file: str) -> Graph:
    """The graph in `text`; vertices by position, parallel edges kept. Raises InputError."""

    def refuse(message: str, line: int = 1, column: int = 1) -> InputError:
        return InputError([Problem(file, line, column, "graphml", message)])

    # A document type can define entities that expand without end or name other files; GraphML needs none.
    for mark in ("<!DOCTYPE", "<!ENTITY"):
        if mark in text:
            raise refuse(f"{mark} is not read: remove it", text.count("\n", 0, text.index(mark)) + 1)
    import networkx  # 0.2 s: only when such a file is read

    try:
        found = networkx.parse_graphml(text, node_type=str)
    except ParseError as error:
        raise refuse(f"is not XML: {error.msg}", error.position[0], error.position[1] + 1) from error
    except (networkx.NetworkXException, LookupError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise refuse(f"is not GraphML: {error or type(error).__name__}") from error
    position = {vertex: i for i, vertex in enumerate(found)}
    graph = Graph()
    for vertex, attributes in found.nodes(data=True):
        graph.vertices.append({"label": str(attributes.get("label", vertex)), **_text_label(attributes)})
    for a, b, attributes in found.edges(data=True):
        graph.edges.append((position[a], position[b], dict(attributes)))
    return graph


def _text_label(attributes: dict[str, object]) -> dict[str, object]:
    return {k: v for k, v in attributes.items() if k != "label"}
