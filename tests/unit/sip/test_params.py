"""Parameters of headers."""

import pytest

from sbc.sip.errors import ParseError
from sbc.sip.params import has_param, param, params_text, parse_params


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("tag=abc", (("tag", "abc"),)),
        ("LR", (("lr", None),)),
        ("  tag  =  abc ; lr ", (("tag", "abc"), ("lr", None))),
        ('x="a;b\\"c" ;y=2', (("x", '"a;b\\"c"'), ("y", "2"))),
        ("received=[2001:db8::1]", (("received", "[2001:db8::1]"),)),
        ("branch=z9hG4bK==", (("branch", "z9hG4bK=="),)),
        ("rport=", (("rport", None),)),
        ("lr;lr", (("lr", None),)),
    ],
)
def test_parameters_are_read_in_order(text, params):
    assert parse_params(text, "X") == params


@pytest.mark.parametrize(
    "text", ["", " ", ";", "a;", "a;;b", "=b", 'a="b', "a=b c", "a b", "a=<b>", "a,b", 'a="b"c', "é=1"]
)
def test_malformed_parameters_are_refused(text):
    with pytest.raises(ParseError):
        parse_params(text, "X")


@pytest.mark.parametrize("text", ["tag=a;tag=b", "tag=a;x;TAG=b", "lr;lr=on"])
def test_a_parameter_does_not_say_two_things(text):
    with pytest.raises(ParseError):
        parse_params(text, "X")


def test_parameters_are_printed_as_they_are_read():
    assert params_text(parse_params(' TAG = a ;lr; x="y z"', "X")) == ';tag=a;lr;x="y z"'


def test_an_absent_parameter_and_one_without_value_are_told_apart():
    params = parse_params("lr;tag=1", "X")
    assert (param(params, "tag"), param(params, "lr"), param(params, "no")) == ("1", None, None)
    assert (has_param(params, "lr"), has_param(params, "no")) == (True, False)
