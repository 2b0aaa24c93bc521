"""The published description of the admin API (OpenAPI 3.1), made of the table of operations and the types in it.

Pure. `api` serves it; nothing is written by hand here that the table knows.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from sbc.admin.document import Problem
from sbc.admin.exchange import JSON, PROBLEM, TEXT
from sbc.admin.route import PATH_NAMES, Operation, Returns

OPENAPI: Final = "3.1.0"
_REFERENCE: Final = "#/components/schemas/{name}"
_PROBLEMS: Final = {
    400: "a wrong parameter or body",
    401: "the token is missing or wrong",
    403: "a web page of another origin may not give orders",
    404: "there is no such thing",
    405: "this path knows other methods",
    409: "it makes no sense as things are",
    413: "the body is too long",
    429: "too often",
    503: "not now",
}
_OF_ALL: Final = (401, 403, 413)  # refusals that come before any operation
_DESCRIPTION: Final = (
    "What runs, who holds which call path, call records, and orders to the running program. Times are UTC. Failures "
    "are problem documents (RFC 9457). A token is asked for over TCP where the policy has `sbc.admin_token`."
)


def document(operations: Iterable[Operation], version: str) -> dict[str, Any]:
    """The whole document. `version`: of the program."""
    operations = tuple(operations)
    types = list(dict.fromkeys([*_types(operations), Problem]))
    made, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    schemas = dict(zip(map(_key, types), made, strict=True))
    # In what is sent to us, an unknown key is a mistake.
    bodies = {operation.body.__name__ for operation in operations if operation.body is not None}
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(operation, schemas)
    return {
        "openapi": OPENAPI,
        "info": {"title": "sbc", "version": version, "description": _DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": {
                name: schema if name in bodies else _open(schema) for name, schema in sorted(components.items())
            },
            "responses": {str(status): _problem(text, schemas) for status, text in _PROBLEMS.items()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }


def _types(operations: tuple[Operation, ...]) -> Iterator[Any]:
    for operation in operations:
        yield from (parameter.type for parameter in operation.parameters)
        yield from (kind for kind in (operation.returns.type, operation.body) if kind is not None)
        yield from operation.returns.pieces


def _key(kind: Any) -> str:
    """Annotated types with the same bounds are equal, and are one schema."""
    return repr(kind)


def _operation(operation: Operation, schemas: dict[str, Any]) -> dict[str, Any]:
    returns = operation.returns
    responses = {str(returns.status): {"description": returns.text, "content": _content(returns, schemas)}}
    responses |= {str(status): {"$ref": f"#/components/responses/{status}"} for status in _refusals(operation)}
    described: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "parameters": [*_path_parameters(operation.path), *_query_parameters(operation, schemas)],
        "responses": dict(sorted(responses.items())),
    }
    if operation.body is not None:
        described["requestBody"] = {
            "required": operation.needs_body,
            "content": {JSON: {"schema": schemas[_key(operation.body)]}},
        }
    if operation.is_open:
        described["security"] = []
    return described


def _refusals(operation: Operation) -> set[int]:
    of_all = set(_OF_ALL) - ({401} if operation.is_open else set()) - ({403} if operation.method == "GET" else set())
    return of_all | set(operation.problems)


def _content(returns: Returns, schemas: dict[str, Any]) -> dict[str, Any]:
    schema = {"schema": schemas[_key(returns.type)]} if returns.type is not None else {}
    content: dict[str, Any] = {returns.content_type.partition(";")[0]: schema}
    return content | {TEXT.partition(";")[0]: {"schema": {"type": "string"}}} if returns.or_text else content


def _problem(text: str, schemas: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {PROBLEM: {"schema": schemas[_key(Problem)]}}}


def _path_parameters(path: str) -> Iterator[dict[str, Any]]:
    for part in path.split("/"):
        if part.startswith("{"):
            name = part[1:-1]
            yield _parameter(name, PATH_NAMES[name], "path", {"type": "string", "minLength": 1}, is_required=True)


def _query_parameters(operation: Operation, schemas: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for one in operation.parameters:
        yield _parameter(one.name, one.text, "query", schemas[_key(one.type)], is_required=one.is_required)


def _parameter(name: str, text: str, where: str, schema: Any, *, is_required: bool) -> dict[str, Any]:
    return {"name": name, "in": where, "description": text, "required": is_required, "schema": schema}


def _open(schema: dict[str, Any]) -> dict[str, Any]:
    """Without the strictness that our own tests read the documents with: clients must bear new keys."""
    return {key: value for key, value in schema.items() if key != "additionalProperties"}
