"""The published document is true: every operation in it is asked, and its reply is what the document says it is."""

import json
import re
from pathlib import Path

import pytest
from msgspec import structs

from sbc.admin import control, stream, testcall
from sbc.admin.api import OPERATIONS, answer
from sbc.admin.exchange import AskStore, Order, Perform, Ping, Reload, Reply, Request, Stream, problem
from sbc.admin.route import PATH_NAMES
from sbc.admin.stream import Told, take_picture
from sbc.cdr.store import CdrReader, CdrWriter
from sbc.core.address import Address
from sbc.core.secret import Secret
from sbc.peering.views import PingView
from sbc.policy.changes import Change, Changes
from sbc.policy.testcall import Door

from .json_schema import faults
from .state import CALL, ENGINE, StillState

NAMES = {"ref": CALL.ref, "trunk": "carrier-a", "pbx": "office", "peer": "carrier-a", "address": "192.0.2.7"}
QUERIES = {"why": (("from", "office"), ("to", "911"))}
BODIES = {"open_test_call": b'{"trunk": "carrier-a", "to": "+14155550100", "port": 40000}'}
PINGED = structs.replace(
    ENGINE, pings=(PingView("t", "s", "udp:192.0.2.1:5060", 200, 1.5), PingView("t", "s", "a", 0, None))
)


@pytest.fixture(scope="module")
def document():
    reply = answer(Request("GET", "/api/openapi.json"), StillState())
    return json.loads(reply.body)


@pytest.fixture
def store(tmp_path, record):
    with CdrWriter.open(tmp_path) as writer:
        writer.write([record("r1"), record("r2", egress=None, answered_at=None)])
        with CdrReader.open(tmp_path) as reader:
            yield reader


def path_of(operation):
    parts = (NAMES[part[1:-1]] if part.startswith("{") else part for part in operation.path.split("/"))
    return "/".join(parts)


def reply_of(operation, store):
    state = StillState(ladders={CALL.ref: "a ladder"})
    if operation.name == "revoke_drain":
        asked = StillState(structs.replace(ENGINE, ready=False))
        return answer(Request("DELETE", operation.path), asked).reply(state)
    query, body = QUERIES.get(operation.name, ()), BODIES.get(operation.name, b"")
    found = answer(Request(operation.method, path_of(operation), query, body=body), state)
    match found:
        case Order():
            return found.reply(state)
        case Ping(peer):
            return control.pinged(PINGED, peer, "t")
        case Reload():
            return control.reloaded(Changes(trunks=Change(added=("carrier-b",))))
        case Perform(control.Restart()):
            return control.restarted("")
        case Perform(testcall.OpenDoor(wanted)):
            door = Door(wanted, "+1", "+2", "1", "2", "office", Address("127.0.0.1", 5060), Secret("s"))
            return testcall.opened(door, 0.0)
        case Perform(testcall.CloseDoor()):
            return testcall.closed(was_open=True)
        case AskStore(question):
            return question(store)
        case Stream():
            return Reply(200, stream.CONTENT_TYPE, Told().news(take_picture(state)))
        case Reply():
            return found


def described(document, operation, status, content_type):
    reply = document["paths"][operation.path][operation.method.lower()]["responses"][str(status)]
    if "$ref" in reply:
        reply = document["components"]["responses"][reply["$ref"].rpartition("/")[2]]
    return reply["content"][content_type.partition(";")[0]].get("schema", {})


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_every_operation_answers_as_the_document_says(operation, document, store):
    reply = reply_of(operation, store)

    schema = described(document, operation, reply.status, reply.content_type)
    assert reply.status == operation.returns.status
    if operation.returns.type is not None:
        assert list(faults(json.loads(reply.body), schema, document["components"]["schemas"])) == []


def test_a_problem_document_is_described(document):
    refusal = json.loads(problem(409, "no", problems=["a.yaml:1:1: no"]).body)
    schema = document["components"]["schemas"]["Problem"]

    assert list(faults(refusal, schema, {})) == []
    assert list(faults({"title": 1}, schema, {})) != []


def test_what_is_missing_is_a_problem_that_the_document_names(document):
    for operation in OPERATIONS:
        if "{" not in operation.path or operation.path.startswith("/api/v1/drill") or operation.name == "ban":
            continue
        path = operation.path.replace("{", "no-such-").replace("}", "")
        reply = answer(Request(operation.method, path), StillState())
        assert reply.status == 404
        assert described(document, operation, 404, reply.content_type) == {"$ref": "#/components/schemas/Problem"}


def test_names_of_operations_are_unlike_and_every_name_in_a_path_is_explained():
    names = [operation.name for operation in OPERATIONS]

    assert len(set(names)) == len(names)
    for operation in OPERATIONS:
        assert operation.path.count("{") <= 1
        assert all(part[1:-1] in PATH_NAMES for part in operation.path.split("/") if part.startswith("{"))


def test_only_the_two_health_checks_need_no_token():
    assert [operation.path for operation in OPERATIONS if operation.is_open] == ["/healthz", "/readyz"]


def test_clients_are_told_to_bear_new_keys(document):
    assert "additionalProperties" not in document["components"]["schemas"]["Call"]


def test_a_reply_that_is_not_as_described_is_found(document):
    schemas = document["components"]["schemas"]
    good = {"uptime": 1}

    assert list(faults({"calls": [good]}, schemas["Calls"], schemas)) != []
    assert list(faults({"calls": [], "total": 0}, schemas["Calls"], schemas)) == []


def test_the_reference_page_names_every_operation():
    page = (Path(__file__).parents[3] / "docs/reference/api.md").read_text()
    rows = [line for line in page.splitlines() if line.startswith("| `")]
    for operation in OPERATIONS:
        path = re.escape(re.sub(r"\{.*\}", "{}", operation.path)).replace(re.escape("{}"), "[A-Z]+")
        of_path = [row for row in rows if re.search(rf"`[A-Z]+ {path}[?`]", row)]
        assert any(f"{operation.method} " in row or f"`{operation.method} …`" in row for row in of_path), operation.path
