import pytest

from sbc.core.errors import OperatorError
from sbc.policy.explain import explain
from sbc.policy.model import Facts

ROUTES = """\
routes:
  - {name: no-premium, from: office, to: premium, reject: 403}
  - {name: outbound, from: office, to: national, via: carrier-a, no_answer: 60s}
"""


def test_why_a_call_goes_where_it_goes(load, well):
    assert explain(load(well, ROUTES), Facts("office", "415-555-0123", "100")).splitlines() == [
        "pbx office calls 415-555-0123",
        "  called  4155550123 · E.164 +14155550123 · national · a DID of office",
        "  caller  100 · no E.164 form",
        "routes tried:",
        "  b.yaml:2:5: no-premium: no match: the called number is not premium",
        "  b.yaml:3:5: outbound: matched",
        "hunt of route outbound:",
        "  1. trunk carrier-a (a.yaml:7:3): sip:127.0.0.40:5060",
        "     called as +14155550123 (e164) · caller as 100 (e164)",
        "     next after 4s without a reply or 20s without ringing · rings 60s · from interface outside",
        "caps: none",
    ]


def test_why_a_call_is_refused(load, well):
    policy = load(well, ROUTES)
    assert explain(policy, Facts("office", "19005551234", "")).splitlines()[-1] == "refused: 403, by route no-premium"
    assert explain(policy, Facts("office", "100", "")).splitlines()[-1] == "refused: 404, no route takes this number"


def test_a_peer_that_is_none_is_the_operators_mistake(load, well):
    with pytest.raises(OperatorError, match=r"`ofice` is no peer of this policy; did you mean `office`\?"):
        explain(load(well), Facts("ofice", "100", ""))
