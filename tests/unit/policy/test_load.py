# ruff: noqa: E501, ISC004 (tables of exact texts)
"""Reading and merging: one test per kind of error, with its exact text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.core.address import Address, Transport
from sbc.policy.load import Source, load_policy, parse_policy
from sbc.policy.model import Facts, Listener
from sbc.policy.problems import PolicyError


def test_defaults(load, well):
    policy = load(well)
    assert (policy.name, policy.data_dir, policy.admin, policy.country, policy.stop_after) == (
        "sbc", "./var", "127.0.0.1:8088", "US", 10.0,
    )  # fmt: skip
    assert (policy.media.first_port, policy.media.last_port, policy.media.engine, policy.media.workers) == (
        20_000, 29_999, "auto", 1,
    )  # fmt: skip
    office = policy.peers["office"]
    assert (office.kind, office.no_reply, office.no_progress, office.no_answer) == ("pbx", 4.0, 20.0, 180.0)
    assert (office.latching, office.called_form, office.caller_form, office.called_from) == (
        "address",
        "e164",
        "e164",
        "ruri",
    )
    assert policy.interfaces["inside"].listeners == (
        Listener(Transport.UDP, Address("127.0.0.10", 5060)),
        Listener(Transport.TCP, Address("127.0.0.10", 5060)),
    )


def test_data_dir_defaults_to_the_first_state_directory_of_the_environment(load, well):
    assert load(well, environment={"STATE_DIRECTORY": "/var/lib/sbc:/var/lib/other"}).data_dir == "/var/lib/sbc"
    assert load("sbc: {data_dir: x}\n" + well, environment={"STATE_DIRECTORY": "/var/lib/sbc"}).data_dir == "x"


def test_every_built_key_reaches_its_value(load):
    policy = load("""\
sbc: {name: hq, data_dir: d, admin: "[::1]:1", country: GB, stop_after: 1s}
interfaces:
  net:
    sip: [udp:127.0.0.10:5060, tcp:127.0.0.10:5060]
    media: [127.0.0.10, "::1"]
    dscp: {sip: cs3, media: ef}
    advertise: {sip: "sbc.example.com:5060", media: 203.0.113.9}
media: {ports: 3000-3999, engine: userland, workers: 1}
pbxs:
  p:
    interface: net
    address: [sip:127.0.0.30, sip:127.0.0.31]
    accept: [127.0.0.30, 127.0.1.0/24]
    dids: ["02079460000-02079460009", {numbers: "100"}]
    numbers: {called: last-4, caller: national}
    no_reply: 1s
    no_progress: 2s
    no_answer: 3s
    latching: strict
trunks:
  t: {interface: net, servers: sip:h.example, domain: d.example, called_from: to, numbers: e164-bare}
routes:
  - {name: r, from: t, to: [X., dids], caller: "100", strip: 1, prepend: "9", via: [p, t], no_answer: 9s}
  - {from: p, reject: 603}
""")
    assert (policy.name, policy.admin, policy.country, policy.stop_after) == ("hq", "[::1]:1", "GB", 1.0)
    net = policy.interfaces["net"]
    assert (net.media, net.dscp_sip, net.dscp_media) == (("127.0.0.10", "::1"), 24, 46)
    assert (net.sip_advertise, net.media_advertise) == ("sbc.example.com:5060", "203.0.113.9")
    assert (policy.media.first_port, policy.media.last_port, policy.media.engine) == (3000, 3999, "userland")
    p, t = policy.peers["p"], policy.peers["t"]
    assert [s.host for s in p.servers] == ["127.0.0.30", "127.0.0.31"]
    assert p.accept == ("127.0.0.30/32", "127.0.1.0/24")
    assert (p.called_form, p.caller_form, p.latching) == ("last-4", "national", "strict")
    assert (p.no_reply, p.no_progress, p.no_answer) == (1.0, 2.0, 3.0)
    assert (t.domain, t.called_from, t.called_form, t.caller_form) == ("d.example", "to", "e164-bare", "e164-bare")
    assert [(d.first, d.last) for d in policy.dids] == [("+442079460000", "+442079460009"), ("100", "100")]
    first, second = policy.routes
    assert (first.name, first.from_peers, first.to, first.caller) == ("r", ("t",), ("X.", "dids"), ("100",))
    assert (first.strip, first.prepend, first.via, first.no_answer) == (1, "9", ("p", "t"), 9.0)
    assert (second.name, second.reject) == ("route-2", 603)
    assert policy.host_names == ("h.example",)


def test_scalars_stay_what_was_typed(load, well):
    policy = load(well + "routes: [{name: NO, to: 0441234, via: office}, {name: 5:30, to: 1_000, via: office}]")
    assert [(r.name, r.to) for r in policy.routes] == [("NO", ("0441234",)), ("5:30", ("1_000",))]


def test_places_are_cited_by_file_line_and_column(load, well):
    policy = load(well, "routes:\n  - {name: r, via: office}\n")
    assert str(policy.routes[0].where) == "b.yaml:2:5"
    assert str(policy.peers["office"].where) == "a.yaml:5:3"


def test_sections_merge_across_files_and_documents_in_their_order(load, well):
    policy = load(
        "sbc: {name: hq}\n---\nsbc: {country: GB}\n" + well,
        "routes: [{name: one, via: office}]",
        "pbxs: {branch: {interface: inside, address: sip:127.0.0.31}}\nroutes: [{name: two, via: branch}]",
    )
    assert (policy.name, policy.country) == ("hq", "GB")
    assert [r.name for r in policy.routes] == ["one", "two"]
    assert list(policy.peers) == ["office", "branch", "carrier-a"]


def test_an_alias_stands_for_what_it_names(load, well):
    policy = load(
        well + "routes: [{name: a, from: &who [office], via: carrier-a}, {name: b, from: *who, via: carrier-a}]"
    )
    assert policy.routes[1].from_peers == ("office",)


ERRORS = [
    # sections and keys
    ("", "a.yaml:1:1: the policy is empty; expected the sections interfaces, pbxs, trunks and routes"),
    ("~", "a.yaml:1:1: the policy is empty; expected the sections interfaces, pbxs, trunks and routes"),
    ("# nothing\n---\n---\n", "a.yaml:1:1: the policy is empty; expected the sections interfaces, pbxs, trunks and routes"),
    ("sbc: {}", "a.yaml:1:1: no interface is defined; expected the section interfaces"),
    ("{W}trunk: {}", "a.yaml:8:1: unknown section `trunk`; did you mean `trunks`?"),
    (
        "{W}foo: {}",
        "a.yaml:8:1: unknown section `foo`; expected one of sbc, interfaces, media, pbxs, trunks, path_pools, routes",
    ),
    ("{W}path_pools: {a: 1}", "a.yaml:8:1: `path_pools` is not built yet; leave it out for now"),
    ("{W}sbc: {contry: US}", "a.yaml:8:7: unknown key `contry` in `sbc`; did you mean `country`?"),
    ("{W}sbc: [a]", "a.yaml:8:6: `sbc` is a list; expected a mapping"),
    ("{W}sbc: a", "a.yaml:8:6: `sbc` is a text; expected a mapping"),
    ("{W}routes: {a: b}", "a.yaml:8:9: `routes` is a mapping; expected a list"),
    ("{W}routes: [a]", "a.yaml:8:10: an entry of `routes` is a text; expected a mapping"),
    ("[{W1}]", "a.yaml:1:1: a policy is a list; expected a mapping"),
    ("{W}sbc: {name: [a]}", "a.yaml:8:13: this is a list; expected a single value"),
    ("{W}sbc: {name: }", "a.yaml:8:12: `name` is empty; expected a text"),
    ("{W}sbc: {[a]: b}", "a.yaml:8:7: a list as a key of `sbc`; expected a text"),
    ("{W}sbc: {name: !!int 5}", "a.yaml:8:13: the tag `tag:yaml.org,2002:int`; expected values without tags"),
    # twice
    ("{W}sbc: {name: a, name: b}", "a.yaml:8:16: `name` is defined twice; expected it once; first at a.yaml:8:7"),
    ("{W}media: {}\nmedia: {}", "a.yaml:9:1: `media` is defined twice; expected it once; first at a.yaml:8:1"),
    (
        "{W}routes: [{name: a, via: office}, {name: a, via: office}]",
        "a.yaml:8:41: the route `a` is defined twice; expected it once; first at a.yaml:8:17",
    ),
    # values
    ("{W}sbc: {stop_after: 10}", "a.yaml:8:19: `10` has no unit; expected a number with ms, s, m, h or d, such as 10s"),
    ("{W}sbc: {country: XX}", "a.yaml:8:16: `XX` is no country with a numbering plan; expected a two-letter country code such as US"),
    (
        "{W}sbc: {admin: '0.0.0.0:8088'}",
        "a.yaml:8:14: `0.0.0.0:8088` is not on loopback, and the API has no token yet; "
        "expected 127.0.0.1:8088, [::1]:8088 or unix:PATH",
    ),
    (
        "{W}media: {ports: 2-1}",
        "a.yaml:8:16: `2-1` is out of range or runs backwards; expected FIRST-LAST within 1024-65535, such as 20000-29999",
    ),
    ("{W}routes: [{reject: 200}]", "a.yaml:8:19: `200` is no SIP failure; expected a status from 400 to 699"),
    ("{W}routes: [{strip: x, via: office}]", "a.yaml:8:18: `x` is not a number from 0 to 32; expected 0 to 32"),
    (
        "{W}routes: [{prepend: a, via: office}]",
        "a.yaml:8:20: `a` cannot be put before a number; expected digits, * and #, with or without a plus",
    ),
    ("{W}routes: [{via: []}]", "a.yaml:8:16: an empty list; expected at least one element"),
    ("{W}routes: [{via: [office, ~]}]", "a.yaml:8:25: this is nothing; expected a single value"),
    (
        "{W}routes: [{to: 9-10, via: office}]",
        "a.yaml:8:15: the ends of the range `9-10` differ in length; expected FIRST-LAST of equal lengths",
    ),
    # not built
    ("{W}sbc: {cps: 50}", "a.yaml:8:7: `cps` is not built yet; leave it out for now"),
    ("{W}sbc: {alerts: }", "a.yaml:8:7: `alerts` is not built yet; leave it out for now"),
    ("{W}media: {engine: kernel}", "a.yaml:8:17: `kernel` is not built yet; expected auto or userland"),
    ("{W}media: {workers: 2}", "a.yaml:8:18: more than one media worker is not built yet; expected 1"),
    (
        "{W}routes: [{via: [{to: office, weight: 70}]}]",
        "a.yaml:8:17: weights in `via` are not built yet; expected the name of a peer",
    ),
    ("{W}routes: [{emergency: true, via: office}]", "a.yaml:8:11: `emergency` is not built yet; leave it out, or say false"),
    # across
    ("{W}routes: [{from: offic, via: carrier-a}]", "a.yaml:8:17: `offic` in `from` is no peer; did you mean `office`?"),
    (
        "{W}routes: [{via: zzz}]",
        "a.yaml:8:16: `zzz` in `via` is no peer; expected one of carrier-a, office",
    ),
    (
        "{W}routes: [{via: office, reject: 403}]",
        "a.yaml:8:32: a route with both `via` and `reject`; expected one of them",
    ),
    (
        "{W}routes: [{to: [dids, '100']}]",
        "a.yaml:8:10: a route without `via` or `reject`; expected one of them, or `to: dids` alone",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("text", "error"), ERRORS, ids=[error.split(": ", 1)[1][:50] for _, error in ERRORS])
def test_an_error_says_where_what_and_what_was_expected(errors, well, text, error):
    assert error in errors(text.replace("{W}", well).replace("{W1}", "a"))


PEER_ERRORS = [
    ("pbxs", "{}", "`pbxs.x` has no `interface`; expected the name of an interface"),
    ("pbxs", "{}", "`pbxs.x` has no `address`; expected a SIP URI or a list of them"),
    ("trunks", "{}", "`trunks.x` has no `servers`; expected a SIP URI or a list of them"),
    ("pbxs", "{interface: insid, address: sip:h}", "`insid` is no interface; did you mean `inside`?"),
    (
        "trunks",
        "{interface: inside, servers: h}",
        "`h` is not a SIP URI; expected sip:HOST[:PORT][;transport=udp|tcp]",
    ),
    (
        "trunks",
        "{interface: inside, servers: sip:h, accept: 10.0.0.1/8}",
        "`10.0.0.1/8` has bits set behind its prefix; expected 10.0.0.0/8",
    ),
    (
        "trunks",
        "{interface: inside, servers: sip:h, accept: any}",
        "`accept: any` requires `auth`, which is not built yet; expected networks such as 192.0.2.0/24",
    ),
    ("trunks", "{interface: inside, servers: sip:h, latching: nat}", "`nat` is not built yet; expected strict or address"),
    (
        "trunks",
        "{interface: inside, servers: sip:h, called_from: from}",
        "`from` is not a choice here; expected ruri or to or p-called-party-id",
    ),
    (
        "trunks",
        "{interface: inside, servers: sip:h, numbers: {caled: e164}}",
        "unknown key `caled` in `numbers`; did you mean `called`?",
    ),
    ("trunks", "{interface: inside, servers: sip:h, no_answer: 0s}", "`0s` is out of range; expected more than 0s and at most 1d"),
    (
        "trunks",
        "{interface: inside, servers: 'sip:[::1]'}",
        "no IPv6 udp listener on `inside` to reach `sip:[::1]` from; expected one in interfaces.inside.sip, "
        "or another transport for `x`",
    ),
    (
        "trunks",
        "{interface: inside, servers: sip:127.0.0.10}",
        "`sip:127.0.0.10` is our own listener; expected where `x` listens",
    ),
    (
        "trunks",
        "{interface: outside, servers: sip:127.0.0.40}",
        "`x` and `carrier-a` both accept 127.0.0.40/32 on `outside`; "
        "expected sources that differ (registration or DID cannot tell yet); other at a.yaml:7:3",
    ),
    (
        "pbxs",
        "{interface: inside, address: sip:h, dids: 4155550150}",
        "`+14155550150` of `x` overlaps `+14155550100-+14155550199` of `office`; "
        "expected each number at one PBX; the other is at a.yaml:5:67",
    ),
    (
        "pbxs",
        "{interface: inside, address: sip:h, dids: 1XX}",
        "`1XX` is neither a number nor a range; expected a number or FIRST-LAST; no patterns here",
    ),
    (
        "pbxs",
        "{interface: inside, address: sip:h, dids: [{numbers: '100', disaster: [{reject: 480}]}]}",
        "`disaster` is not built yet; leave it out for now",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("section", "peer", "error"), PEER_ERRORS, ids=[error[:50] for _, _, error in PEER_ERRORS])
def test_an_error_of_a_peer(errors, well, section, peer, error):
    assert error in [line.split(": ", 1)[1] for line in errors(well, f"{section}:\n  x: {peer}\n")]


INTERFACE_ERRORS = [
    ("{sip: udp:127.0.0.50}", "`interfaces.x` has no `media`; expected an IP address, or one per family"),
    ("{media: 127.0.0.50}", "`interfaces.x` has no `sip`; expected a listener or a list of them"),
    ("{sip: tls:127.0.0.50, media: 127.0.0.50}", "`tls` listeners are not built yet; expected udp:ADDRESS:PORT or tcp:ADDRESS:PORT"),
    (
        "{sip: udp:0.0.0.0, media: 127.0.0.50}",
        "`0.0.0.0` is not one host's address; expected the address itself: peers are told it in Via, Contact and SDP",
    ),
    (
        "{sip: udp:127.0.0.10, media: 127.0.0.50}",
        "the listener udp:127.0.0.10:5060 is taken; expected another address or port; first at a.yaml:2:18",
    ),
    (
        "{sip: udp:127.0.0.50, media: [127.0.0.50, 127.0.0.51]}",
        "`interfaces.x` has two IPv4 media addresses; expected at most one per family; first at b.yaml:2:36",
    ),
    (
        "{sip: udp:127.0.0.50, media: 127.0.0.50, advertise: {media: '2001:db8::1'}}",
        "`2001:db8::1` is of a family that `interfaces.x.media` has not; expected the family of a media address",
    ),
    ("{sip: udp:127.0.0.50, media: host}", "`host` is not an IP address; expected an IPv4 or IPv6 literal"),
    (
        "{sip: udp:127.0.0.50, media: 127.0.0.50, dscp: {sip: x}}",
        "`x` is no DSCP; expected cs0 to cs7, af11 to af43, ef, va, or 0 to 63",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("interface", "error"), INTERFACE_ERRORS, ids=[error[:50] for _, error in INTERFACE_ERRORS])
def test_an_error_of_an_interface(errors, well, interface, error):
    assert error in [line.split(": ", 1)[1] for line in errors(well, f"interfaces:\n  x: {interface}\n")]


def test_a_name_may_not_stand_in_two_files(errors, well):
    assert errors(well, "pbxs:\n  office: {interface: inside, address: sip:h}\n") == [
        "b.yaml:2:3: `pbxs.office` is defined twice; expected it once; first at a.yaml:5:3"
    ]


def test_a_setting_may_not_stand_in_two_files(errors, well):
    assert errors(well + "sbc: {name: a}", "sbc: {name: b}") == [
        "b.yaml:1:13: `sbc.name` is defined twice; expected it once; first at a.yaml:8:13"
    ]


def test_a_pbx_and_a_trunk_may_not_share_a_name(errors, well):
    assert errors(well, "trunks:\n  office: {interface: outside, servers: sip:h}\n") == [
        "b.yaml:2:3: `office` names a trunk and a pbx; expected names unique across both; the pbx is at a.yaml:5:3"
    ]


def test_names_are_checked(errors, well):
    assert errors(well, 'trunks:\n  "a b": {interface: outside, servers: sip:h}\n') == [
        "b.yaml:2:3: `a b` cannot be a name; expected up to 64 letters, digits and _ . -, the first a letter or digit"
    ]


def test_all_errors_come_at_once_in_the_order_of_the_text(errors, well):
    found = errors("sbc: {cps: 1, x: 2}\n" + well, "routes: [{via: nobody}]\nfoo: 1\n")
    assert [line.split(": ")[0] for line in found] == ["a.yaml:1:7", "a.yaml:1:15", "b.yaml:1:16", "b.yaml:2:1"]


@pytest.mark.parametrize(
    "key",
    ["health: {options: 30s}", "health: passive", "codecs: [pcma]", "transfer: refuse", "t38: refuse", "dtmf: info", "methods: []",
     "headers: []", "srtp: required", "tls: {}", "auth: {}", "media_from: [10.0.0.0/8]", "register: {}", "call_paths: 24",
     "when_full: {}", "cps: 10", "limits: {}"],
)  # fmt: skip
def test_every_other_key_of_a_trunk_is_known_but_not_built(errors, well, key):
    name = key.split(":")[0]
    found = errors(well, f"trunks:\n  x: {{interface: outside, servers: sip:h, {key}}}\n")
    assert [line.split(";")[0] for line in found] == [f"b.yaml:2:43: `{name}` is not built yet"]


def test_values_that_ask_for_what_happens_anyway_pass(load, well):
    load(
        well,
        "trunks:\n  x: {interface: outside, servers: sip:h, srtp: off, tls: off, t38: pass, health: off, latching: address}\n",
    )


def test_warnings_stop_nothing(load, well):
    policy = load(well, "trunks: {b: {interface: outside, servers: sip:127.0.0.40:5070}}", "routes: [{to: dids}]")
    assert [str(w) for w in policy.warnings] == [
        "b.yaml:1:10: `b` and `carrier-a` share 127.0.0.40/32 and are told apart by source port; "
        "what comes from any other port there meets silence"
    ]


def test_missing_peers_and_routes_are_warnings(load, well):
    interfaces = well[: well.index("pbxs")]
    assert [w.wrong for w in load(interfaces).warnings] == ["no peer is defined"]
    assert [w.wrong for w in load(well).warnings] == ["no route is defined"]


def test_yaml_that_is_none_is_an_error_with_its_place(errors):
    assert errors("a: [1\nb: 2") == ["a.yaml:2:2: not YAML: expected ',' or ']', but got ':'; expected valid YAML"]
    assert errors("a:\n\tb: 1") == [
        "a.yaml:2:1: not YAML: found character '\\t' that cannot start any token; expected valid YAML"
    ]
    assert errors("a: 1\nb: \x01") == ["a.yaml:2:4: not YAML: the character U+0001; expected printable characters"]
    assert errors("a: *b") == ["a.yaml:1:4: not YAML: found undefined alias 'b'; expected valid YAML"]
    assert errors("[" * 10_000) == ["a.yaml:1:1: nested too deeply; expected a few levels"]


def test_broken_files_are_all_cited_and_nothing_is_said_about_what_they_would_have_defined(errors, well):
    found = errors("a: [", "routes: [{via: office}]", "b: ]")
    assert [line.split(": ")[0] for line in found] == ["a.yaml:1:5", "c.yaml:1:4"]


def test_octets_that_are_not_utf8_are_an_error_with_their_place():
    with pytest.raises(PolicyError) as caught:
        parse_policy([Source("a.yaml", b"sbc:\n  name: \xfc")])
    assert str(caught.value) == "a.yaml:2:9: the octet 0xfc is not UTF-8; expected a text file in UTF-8"


def test_a_byte_order_mark_is_no_content(well):
    assert parse_policy([Source("a.yaml", b"\xef\xbb\xbf" + well.encode())]).peers


def test_an_alias_into_itself_ends(errors):
    assert "a.yaml:1:11: unknown key `b` in `pbxs.b`" in "\n".join(errors("pbxs: &a {b: *a}"))


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
)  # fmt: skip


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
