import pytest

ERRORS = [
    ("{W}trunk: {}", "a.yaml:8:1: unknown section `trunk`; did you mean `trunks`?"),
    (
        "{W}foo: {}",
        "a.yaml:8:1: unknown section `foo`; expected one of sbc, interfaces, media, pbxs, trunks, path_pools, routes",
    ),
    ("{W}path_pools: [a]", "a.yaml:8:13: `path_pools` is a list; expected a mapping"),
    ("{W}path_pools: {a: 0}", "a.yaml:8:17: `0` is not a number from 1 to 100000; expected 1 to 100000"),
    ("{W}path_pools: {a: }", "a.yaml:8:16: this is nothing; expected a single value"),
    (
        "{W}path_pools: {a b: 1}",
        "a.yaml:8:14: `a b` cannot be a name; expected up to 64 letters, digits and _ . -, the first a letter or digit",
    ),
    ("{W}routes: {a: b}", "a.yaml:8:9: `routes` is a mapping; expected a list"),
    ("{W}routes: [a]", "a.yaml:8:10: an entry of `routes` is a text; expected a mapping"),
    ("[{W1}]", "a.yaml:1:1: a policy is a list; expected a mapping"),
    ("{W}media: {}\nmedia: {}", "a.yaml:9:1: `media` is defined twice; expected it once; first at a.yaml:8:1"),
]


@pytest.mark.parametrize(("text", "error"), ERRORS, ids=[error.split(": ", 1)[1][:50] for _, error in ERRORS])
def test_an_error_says_where_what_and_what_was_expected(errors, well, text, error):
    assert error in errors(text.replace("{W}", well).replace("{W1}", "a"))


def test_sections_merge_across_files_and_documents_in_their_order(load, well):
    policy = load(
        "sbc: {name: hq}\n---\nsbc: {country: GB}\n" + well,
        "routes: [{name: one, via: office}]",
        "pbxs: {branch: {interface: inside, address: sip:127.0.0.31}}\nroutes: [{name: two, via: branch}]",
    )
    assert (policy.name, policy.country) == ("hq", "GB")
    assert [r.name for r in policy.routes] == ["one", "two"]
    assert list(policy.peers) == ["office", "branch", "carrier-a"]


def test_a_name_may_not_stand_in_two_files(errors, well):
    assert errors(well, "pbxs:\n  office: {interface: inside, address: sip:h}\n") == [
        "b.yaml:2:3: `pbxs.office` is defined twice; expected it once; first at a.yaml:5:3"
    ]


def test_a_setting_may_not_stand_in_two_files(errors, well):
    assert errors(well + "sbc: {name: a}", "sbc: {name: b}") == [
        "b.yaml:1:13: `sbc.name` is defined twice; expected it once; first at a.yaml:8:13"
    ]


def test_path_pools_merge_name_by_name(load, errors, well):
    assert load(well + "path_pools: {a: 24}\n", "path_pools: {b: 8}\n").path_pools == {"a": 24, "b": 8}
    assert errors(well + "path_pools: {a: 24}\n", "path_pools: {a: 8}\n") == [
        "b.yaml:1:14: `path_pools.a` is defined twice; expected it once; first at a.yaml:8:14"
    ]


def test_empty_sections_are_nothing(load, well):
    policy = load(well + "sbc:\nmedia: ~\nroutes:\n", "interfaces:\npbxs:\ntrunks:\n")
    assert list(policy.peers) == ["office", "carrier-a"]
