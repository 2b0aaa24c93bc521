import pytest

ERRORS = [
    (
        "{W}sbc: {name: !!int 5}",
        "a.yaml:8:13: a value with a tag; expected it without; a text that begins with ! in quotes",
    ),
]


@pytest.mark.parametrize(("text", "error"), ERRORS, ids=[error.split(": ", 1)[1][:50] for _, error in ERRORS])
def test_an_error_says_where_what_and_what_was_expected(errors, well, text, error):
    assert error in errors(text.replace("{W}", well).replace("{W1}", "a"))


def test_scalars_stay_what_was_typed(load, well):
    policy = load(well + "routes: [{name: NO, to: 0441234, via: office}, {name: 5:30, to: 1_000, via: office}]")
    assert [(r.name, r.to) for r in policy.routes] == [("NO", ("0441234",)), ("5:30", ("1_000",))]


def test_places_are_cited_by_file_line_and_column(load, well):
    policy = load(well, "routes:\n  - {name: r, via: office}\n")
    assert str(policy.routes[0].where) == "b.yaml:2:5"
    assert str(policy.peers["office"].where) == "a.yaml:5:3"


def test_an_alias_stands_for_what_it_names(load, well):
    policy = load(
        well + "routes: [{name: a, from: &who [office], via: carrier-a}, {name: b, from: *who, via: carrier-a}]"
    )
    assert policy.routes[1].from_peers == ("office",)


@pytest.mark.parametrize("password", ["*hunter2", "!hunter2", "&hunter2 &hunter2 x", "!hunter2!x y", '"hunter2\\q"'])
def test_what_may_be_a_password_without_its_quotes_is_not_repeated(errors, well, password):
    found = errors(
        well, f"trunks: {{x: {{interface: outside, servers: sip:h, auth: {{username: a, password: {password}}}}}}}"
    )
    assert found
    assert "hunter2" not in "\n".join(found)


def test_an_alias_into_itself_ends(errors):
    assert "a.yaml:1:11: unknown key `b` in `pbxs.b`" in "\n".join(errors("pbxs: &a {b: *a}"))


def test_yaml_that_is_none_is_an_error_with_its_place(errors):
    assert errors("a: [1\nb: 2") == ["a.yaml:2:2: not YAML: expected ',' or ']', but got ':'; expected valid YAML"]
    assert errors("a:\n\tb: 1") == [
        "a.yaml:2:1: not YAML: found character '\\t' that cannot start any token; expected valid YAML"
    ]
    assert errors("a: 1\nb: \x01") == ["a.yaml:2:4: not YAML: the character U+0001; expected printable characters"]
    assert errors("a: *b") == ["a.yaml:1:4: not YAML: found undefined alias; expected valid YAML"]
    assert errors("[" * 10_000) == ["a.yaml:1:1: nested too deeply; expected a few levels"]
