"""The OpenAPI document says what is so: every operation is asked for what the document allows, and for what it does not."""

from __future__ import annotations

from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks
from tests.unit.api.asking import ask
from tests.unit.director_world import World

from piranha.api.app import create_app
from piranha.api.openapi import openapi, operation_id
from piranha.api.operation import Operation
from piranha.api.operations import OPERATIONS, PREFIX
from piranha.api.rights import Peer, Policy
from piranha.api.server import told


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> schemathesis.BaseSchema:
    """A director on the memory plane, asked by root. Nothing runs beside the requests."""
    world = World(tmp_path_factory.mktemp("openapi"))
    world.director.start()
    app = told(create_app(world.context, Policy.of_this_host()), Peer(uid=0))
    return schemathesis.openapi.from_asgi(f"{PREFIX}/openapi.json", app)


# What a text of lvs.cf or an operation of ipvsadm means is beyond a schema: valid JSON may be refused.
LEFT_OUT = [checks.positive_data_acceptance]


def has_input(operation: Operation) -> bool:
    """Whether anything is sent that could be wrong."""
    return bool(operation.query or operation.body or ":int}" in operation.path)


ASKED = [
    (operation, mode)
    for operation in OPERATIONS
    for mode in GenerationMode
    if mode is GenerationMode.POSITIVE or has_input(operation)
]


@pytest.mark.parametrize(
    ("operation", "mode"), ASKED, ids=[f"{operation_id(operation)}-{mode.value}" for operation, mode in ASKED]
)
def test_every_operation_does_what_the_document_says(
    schema: schemathesis.BaseSchema, operation: Operation, mode: GenerationMode
) -> None:
    asked = schema[operation.open_path][operation.method]

    @given(case=asked.as_strategy(generation_mode=mode))
    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    def ask_it(case: schemathesis.Case) -> None:
        case.call_and_validate(excluded_checks=LEFT_OUT)

    ask_it()


async def test_the_document_is_served(tmp_path: Path) -> None:
    async with World(tmp_path).running() as world:
        served = (await ask(world, "GET", "openapi.json")).document
        assert served == openapi(OPERATIONS, PREFIX)
        assert served["openapi"] == "3.1.0"
        assert served["paths"]["/configuration"]["put"]["x-right"] == "admin"


def test_ids_are_unique_and_changes_of_the_configuration_are_guarded() -> None:
    document = openapi(OPERATIONS, PREFIX)
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids)) == len(OPERATIONS)
    for path, method in (("/configuration", "put"), ("/configuration/edit", "post")):
        assert {"412", "428"} <= document["paths"][path][method]["responses"].keys()
