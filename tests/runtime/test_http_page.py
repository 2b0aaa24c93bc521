"""The page's files: only those that are there, with a name, a type and a policy."""

import pytest

from sbc.runtime.http_page import File, is_of_page, page_reply, read_page

PAGE = {
    "/page/index.html": File("text/html; charset=utf-8", b"<!doctype html>", '"a1"'),
    "/page/main.js": File("text/javascript; charset=utf-8", b"1;", '"b2"'),
}


def ask(path, method="GET", known=""):
    return page_reply(PAGE, method, path, known)


def test_the_start_is_the_index():
    assert (ask("/").status, ask("/").body) == (200, b"<!doctype html>")
    assert ask("/page/main.js").content_type.startswith("text/javascript")


def test_the_page_may_load_nothing_from_elsewhere():
    policy = dict(ask("/").headers)["Content-Security-Policy"]

    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy


@pytest.mark.parametrize("known", ['"a1"', 'W/"a1"', '"x", "a1"', "*"])
def test_what_the_browser_has_is_not_sent_again(known):
    reply = ask("/", known=known)

    assert (reply.status, reply.body) == (304, b"")
    assert dict(reply.headers)["ETag"] == '"a1"'


def test_another_version_is_sent():
    assert ask("/", known='"old"').status == 200


@pytest.mark.parametrize(
    "path", ["/page/", "/page/no.js", "/page/../api.py", "/page/..%2fapi.py", "/page//etc/passwd", "/page/main.js/"]
)
def test_only_what_is_there_is_served(path):
    assert ask(path).status == 404


def test_nothing_is_written_to_the_page():
    reply = ask("/", method="POST")

    assert (reply.status, reply.headers) == (405, (("Allow", "GET, HEAD"),))


def test_the_packages_page_is_read_with_all_that_it_names():
    page = read_page()

    assert page["/page/index.html"].content_type.startswith("text/html")
    assert all(is_of_page(path) and file.body for path, file in page.items())
    assert not [path for path in page if "/." in path or path.endswith(".py")]


def test_what_is_of_the_page_is_not_of_the_api():
    assert [is_of_page(path) for path in ("/", "/page/x", "/page", "/api/v1/status", "/healthz")] == [
        True,
        True,
        False,
        False,
        False,
    ]
