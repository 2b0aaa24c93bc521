# ruff: noqa: E501 (tables of exact texts)
from sbc.policy.check import summary


def test_the_summary_says_what_would_run(load, well):
    policy = load(
        well,
        "sbc: {name: hq}\nmedia: {ports: 3001-3006}\n",
        "interfaces: {wan: {sip: udp:127.0.0.50, media: 127.0.0.50, advertise: {sip: sbc.example.com, media: 192.0.2.1}}}\n"
        "trunks: {b: {interface: wan, servers: [sip:h, sip:127.0.0.51], numbers: {called: national}}}\n"
        "routes: [{name: out, from: office, caller: 1XX, to: national, via: [b, carrier-a]}, {to: dids}, {reject: 603}]\n",
    )
    assert summary(policy).splitlines() == [
        "hq: 3 interfaces, 1 pbx, 2 trunks, 3 routes, 100 DIDs",
        "  admin 127.0.0.1:8088 · data_dir ./var",
        "  country US · stop_after 10s",
        "  media ports 3001-3006 (2 pairs per address) · engine auto",
        "interface inside: udp:127.0.0.10:5060 tcp:127.0.0.10:5060 · media 127.0.0.10",
        "interface outside: udp:127.0.0.20:5060 tcp:127.0.0.20:5060 · media 127.0.0.20",
        "interface wan: udp:127.0.0.50:5060 · media 127.0.0.50",
        "  shown to peers as sbc.example.com and 192.0.2.1",
        "pbx office on inside: sip:127.0.0.30:5060",
        "  speaks from 127.0.0.30/32 · numbers e164",
        "  owns +14155550100-+14155550199",
        "trunk carrier-a on outside: sip:127.0.0.40:5060",
        "  speaks from 127.0.0.40/32 · numbers e164",
        "trunk b on wan: sip:h, then sip:127.0.0.51",
        "  speaks from 127.0.0.51/32 · numbers national (caller e164)",
        "route out: office → national by 1XX: b, then carrier-a",
        "route route-2: any peer → dids: the PBX that owns it",
        "route route-3: any peer → any number: refused with 603",
    ]


def test_the_summary_ends_with_warnings(load, well):
    assert summary(load(well)).splitlines()[-1] == "warning: a.yaml:1:1: no route is defined; every call will get 404"
