"""schemathesis over all that there is, pages too, which the schema leaves out: no 5xx, and every error says its fix."""

from copy import copy

import pytest
import schemathesis
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings

from chiliad.store import Role
from tests.server.conftest import TIMEOUT_S
from tests.server.platform import serving

FEW = hypothesis_settings(
    max_examples=6, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def routes():
    from chiliad.server.app import PAGES, ROUTES, WORKSPACE_ROUTES

    found = [copy(one) for group in (*ROUTES, *WORKSPACE_ROUTES, *PAGES) for one in group.router.routes]
    for route in found:
        assert isinstance(route, APIRoute)
        route.include_in_schema = True
    return found


def test_no_request_that_the_schema_allows_or_forbids_breaks_a_route(settings, routes):
    """As an admin, whom no role keeps from any route."""
    schema = schemathesis.openapi.from_dict(get_openapi(title="all", version="1", routes=routes))
    seen = set()
    with serving(settings) as served:
        secret = served.accounts.keys.create("fuzz", role=Role.ADMIN).secret
        headers = {"Authorization": f"Bearer {secret}"}

        def check(case):
            reply = case.call(base_url=served.url, headers=headers, timeout=TIMEOUT_S, allow_redirects=False)
            assert reply.status_code < 500, (case.as_curl_command(), reply.text)
            if reply.status_code >= 400 and case.method != "HEAD":
                assert reply.json()["error"]["fix"], case.as_curl_command()

        for found in schema.get_all_operations():
            operation = found.ok()
            seen.add(f"{operation.method.upper()} {operation.path}")
            FEW(given(operation.as_strategy())(check))()
    assert seen == {f"{method} {route.path_format}" for route in routes for method in route.methods}
