# ruff: noqa: E501 (tables of exact texts)
"""Files, folders, their octets, and the promise that no text does worse than a `PolicyError`."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.policy.load import Source, load_policy, parse_policy
from sbc.policy.model import Facts
from sbc.policy.problems import PolicyError

ERRORS = [
    ("", "a.yaml:1:1: the policy is empty; expected the sections interfaces, pbxs, trunks and routes"),
    ("~", "a.yaml:1:1: the policy is empty; expected the sections interfaces, pbxs, trunks and routes"),
    (
        "# nothing\n---\n---\n",
        "a.yaml:1:1: the policy is empty; expected the sections interfaces, pbxs, trunks and routes",
    ),
]


@pytest.mark.parametrize(("text", "error"), ERRORS, ids=[error.split(": ", 1)[1][:50] for _, error in ERRORS])
def test_an_error_says_where_what_and_what_was_expected(errors, well, text, error):
    assert error in errors(text.replace("{W}", well).replace("{W1}", "a"))


def test_all_errors_come_at_once_in_the_order_of_the_text(errors, well):
    found = errors("sbc: {cps: x, y: 2}\n" + well, "routes: [{via: nobody}]\nfoo: 1\n")
    assert [line.split(": ")[0] for line in found] == ["a.yaml:1:12", "a.yaml:1:15", "b.yaml:1:16", "b.yaml:2:1"]


def test_broken_files_are_all_cited_and_nothing_is_said_about_what_they_would_have_defined(errors, well):
    found = errors("a: [", "routes: [{via: office}]", "b: ]")
    assert [line.split(": ")[0] for line in found] == ["a.yaml:1:5", "c.yaml:1:4"]


def test_octets_that_are_not_utf8_are_an_error_with_their_place():
    with pytest.raises(PolicyError) as caught:
        parse_policy([Source("a.yaml", b"sbc:\n  name: \xfc")])
    assert str(caught.value) == "a.yaml:2:9: the octet 0xfc is not UTF-8; expected a text file in UTF-8"


def test_a_byte_order_mark_is_no_content(well):
    assert parse_policy([Source("a.yaml", b"\xef\xbb\xbf" + well.encode())]).peers


def test_a_folder_means_its_yaml_files_sorted_and_not_its_folders(tmp_path, well):
    (tmp_path / "b.yaml").write_text("routes: [{name: second, via: office}]")
    (tmp_path / "a.yaml").write_text(well + "routes: [{name: first, via: office}]")
    (tmp_path / "c.yml").write_text("nonsense: [")
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "d.yaml").write_text("nonsense: [")
    assert [r.name for r in load_policy([tmp_path]).routes] == ["first", "second"]


def test_a_file_named_twice_is_read_once(tmp_path, well):
    (tmp_path / "a.yaml").write_text(well)
    assert load_policy([tmp_path, tmp_path / "a.yaml", str(tmp_path)]).peers


def test_what_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(PolicyError) as caught:
        load_policy([tmp_path / "none.yaml", tmp_path])
    assert str(caught.value).splitlines() == [
        f"{tmp_path}:1:1: no *.yaml in this folder; expected policy files",
        f"{tmp_path}/none.yaml:1:1: cannot be read: No such file or directory; expected a readable YAML file",
    ]


def test_a_file_too_large_for_people_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr("sbc.policy.load._LARGEST_FILE", 10)
    (tmp_path / "a.yaml").write_text("#" * 11)
    with pytest.raises(PolicyError, match=r"a\.yaml:1:1: larger than 16 MiB; expected a policy"):
        load_policy([tmp_path])


FRAGMENTS = st.sampled_from(
    ["sbc", "interfaces", "media", "pbxs", "trunks", "routes", "name", "via", "to", "sip", "dids", "x", "10s", "- ", ": ", "\n", "  ",
     "{", "}", "[", "]", "*a", "&a ", "'", '"', "~", "|", ">", "!!int ", "udp:127.0.0.1", "sip:h", "#", "<<"]
)  # fmt: skip  # fmt: skip


@given(st.lists(FRAGMENTS, max_size=40).map("".join) | st.text(max_size=80))
def test_any_text_is_a_policy_or_a_policy_error(text):
    try:
        parse_policy([Source("a.yaml", text.encode("utf-8", "surrogatepass"))])
    except PolicyError as error:
        problems = error.problems
    else:
        return
    assert problems


def test_a_policy_of_many_names_loads_and_decides(load, well):
    pbxs = "".join(
        f"  p{n}: {{interface: inside, address: 'sip:10.0.{n >> 8}.{n & 255}', dids: '+1212{n:07d}'}}\n"
        for n in range(300)
    )
    policy = load(well, f"pbxs:\n{pbxs}routes: [{{to: dids}}]\n")
    assert policy.decide(Facts("carrier-a", "12120000299", "")).hunt[0].peer.name == "p299"


def test_hidden_files_and_folders_with_the_ending_are_left_alone(tmp_path, well):
    (tmp_path / "a.yaml").write_text(well)
    (tmp_path / ".#a.yaml").write_text("nonsense: [")
    (tmp_path / "b.yaml").mkdir()
    assert load_policy([tmp_path]).peers


def test_links_that_lead_nowhere_are_errors(tmp_path):
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    (tmp_path / "none.yaml").symlink_to(tmp_path / "missing")
    with pytest.raises(PolicyError) as caught:
        load_policy([tmp_path])
    assert [str(p.where).removeprefix(str(tmp_path)) + " " + p.wrong for p in caught.value.problems] == [
        "/loop.yaml:1:1 cannot be read: Too many levels of symbolic links",
        "/none.yaml:1:1 cannot be read: No such file or directory",
    ]


def test_names_that_no_file_can_have_are_errors():
    with pytest.raises(PolicyError) as caught:
        load_policy(["a\0b", "c" * 5000])
    assert [p.wrong for p in caught.value.problems] == [
        "cannot be read: embedded null byte",
        "cannot be read: File name too long",
    ]


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path, monkeypatch):
    def refuse(_folder):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    with pytest.raises(PolicyError, match="cannot be read: Permission denied; expected a readable folder"):
        load_policy([tmp_path])
