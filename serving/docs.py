"""The documentation of the API as one page of HTML, made from its OpenAPI document.

The usual pages for OpenAPI load scripts from another host. This page has no script, so that it works without access to
any other host, and so that no other host learns who reads it.
"""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "body{background:#fff}pre{background:#f3f3f3;padding:.8rem;overflow-x:auto}table{border-collapse:collapse;width:100%}"
    "td,th{text-align:left;vertical-align:top;padding:.2rem .8rem .2rem 0;border-bottom:1px solid #ddd}"
    "@media(prefers-color-scheme:dark){body{color:#ddd;background:#181818}pre{background:#262626}a{color:#8ab4f8}}"
)


def html(document: Mapping[str, Any], root_path: str = "") -> str:
    """The page of an OpenAPI ``document`` that is published under ``root_path``."""
    info = document["info"]
    schemas = document.get("components", {}).get("schemas", {})
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>",
        f"<title>{escape(info['title'])}: the API</title><style>{STYLE}</style>",
        f"<h1>{escape(info['title'])}</h1><p><strong>{escape(info['summary'])}</strong> {escape(info['description'])}",
        f"<p>Model version {escape(info['version'])}. As OpenAPI: ",
        f"<a href='{escape(root_path)}/openapi.json'>openapi.json</a>",
    ]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts += _operation(method.upper(), root_path + path, operation, schemas)
    parts.append("<h2>Types</h2>")
    for name, schema in schemas.items():
        parts += _schema(name, schema)
    return "".join(parts)


def _operation(method: str, path: str, operation: Mapping[str, Any], schemas: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h2 id='{escape(operation['operationId'])}'>{method} {escape(path)}</h2>"
    yield f"<p>{escape(operation['description'])}"
    if body := operation.get("requestBody"):
        schema = body["content"]["application/json"]["schema"]
        yield f"<p>Body: {_type(schema)}. An example:"
        example = json.dumps(_example(schema, schemas), ensure_ascii=False)
        command = f"curl -X POST HOST{path} -H 'Content-Type: application/json' \\\n  -d '{example}'"
        yield f"<pre>{escape(command)}</pre>"
    if parameters := operation.get("parameters"):
        yield "<table><tr><th>parameter<th>type<th>limits"
        for found in parameters:
            needed = "" if found.get("required") else ", optional"
            limits = ", ".join(f"{limit} {value:,}" for limit, value in _limits(found["schema"]))
            yield f"<tr><td>{escape(found['name'])}<td>{_type(found['schema'])}{needed}<td>{limits}"
        yield "</table>"
    yield "<table><tr><th>status<th>body<th>meaning"
    for status, response in operation["responses"].items():
        kinds = [_type(content["schema"]) for content in response.get("content", {}).values() if content.get("schema")]
        yield f"<tr><td>{escape(status)}<td>{' or '.join(kinds)}<td>{escape(response['description'])}"
    yield "</table>"


def _schema(name: str, schema: Mapping[str, Any]) -> Iterator[str]:
    yield f"<h3 id='{escape(name)}'>{escape(name)}</h3><p>{escape(schema.get('description', ''))}"
    yield "<table><tr><th>field<th>type<th>limits<th>meaning"
    for field, found in schema.get("properties", {}).items():
        needed = "" if field in schema.get("required", []) else ", optional"
        limits = ", ".join(f"{limit} {value:,}" for limit, value in _limits(found))
        yield f"<tr><td>{escape(field)}<td>{_type(found)}{needed}<td>{limits}<td>{escape(found.get('description', ''))}"
    yield "</table>"


def _limits(schema: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """The limits of a field, of its variants, and of the items of a list."""
    names = {"maxLength": "characters ≤", "maxItems": "items ≤", "minimum": "≥", "maximum": "≤"}
    yield from ((text, schema[name]) for name, text in names.items() if name in schema)
    for inner in [*schema.get("anyOf", []), *([schema["items"]] if "items" in schema else [])]:
        yield from _limits(inner)


def _type(schema: Mapping[str, Any]) -> str:
    """The type of a field as HTML, with a link where it is described."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f"<a href='#{name}'>{name}</a>"
    if "anyOf" in schema:
        return " or ".join(map(_type, schema["anyOf"]))
    if "enum" in schema or "const" in schema:
        return " or ".join(escape(json.dumps(value)) for value in schema.get("enum", [schema.get("const")]))
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    return escape(str(schema.get("type", "anything")))


def _example(schema: Mapping[str, Any], schemas: Mapping[str, Any]) -> Any:
    """An example of what ``schema`` describes: its own, its default, or one put together of those of its fields."""
    if "$ref" in schema:
        schema = schemas[schema["$ref"].rpartition("/")[2]]
    if "examples" in schema:
        return schema["examples"][0]
    if "default" in schema:
        return schema["default"]
    if schema.get("type") == "array":
        return [_example(schema["items"], schemas)]
    return {name: _example(found, schemas) for name, found in schema.get("properties", {}).items()}
