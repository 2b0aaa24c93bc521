"""The Via parameters of overload control, as they are written and read."""
# RFC: 7339

import pytest

from sbc.sip.headers.via import parse_via
from sbc.sip.overload_params import Asked, asked, asks, report, reported

VIA = "SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1"


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (';oc;oc-algo="loss"', True),
        (';oc-algo="loss";oc', True),
        (';oc;oc-algo="rate,loss"', True),
        (";oc;oc-algo=loss", True),
        (';oc;oc-algo="rate"', False),
        (";oc", False),
        (';oc=5;oc-algo="loss"', False),
        ("", False),
        (";occupied", False),
        (', SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK2;oc;oc-algo="loss"', False),
    ],
)
def test_a_client_asks_with_a_parameter_that_has_no_value_yet_and_names_loss(params, expected):
    assert asks(VIA + params) is expected


def test_the_example_of_the_standard_is_understood():
    said = asked(parse_via(f'{VIA};oc=20;oc-algo="loss";oc-validity=500;oc-seq=1282321615.782'))
    assert said == Asked(20, 0.5, (1282321615, 78200))


def test_a_validity_that_is_not_said_is_half_a_second():
    assert asked(parse_via(f'{VIA};oc=20;oc-algo="loss"')) == Asked(20, 0.5, None)


@pytest.mark.parametrize(
    "params", ["", ";oc", ";oc=101", ";oc=-1", ";oc=x", ';oc=5;oc-algo="rate"', ";oc=5;oc-validity=x", ";oc=5;oc-seq=x"]
)
def test_what_cannot_be_understood_asks_nothing(params):
    assert asked(parse_via(VIA + params)) is None


def test_a_number_of_any_length_is_refused_without_being_converted():
    assert asked(parse_via(f"{VIA};oc={'9' * 5000}")) is None


def test_what_is_reported_is_read_back_as_it_was_meant():
    via = reported(f'{VIA};oc;oc-algo="rate,loss";rport=5060', report(37, 0.5, 1282321615.782))
    assert asked(parse_via(via)) == Asked(37, 0.5, (1282321615, 78200))
    assert parse_via(via).rport == "5060"
    assert via.count("oc-algo") == 1


def test_only_the_top_value_of_a_field_gets_the_report():
    below = "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK2"
    via = reported(f'{VIA};oc;oc-algo="loss", {below}', report(1, 0.5, 1.0))
    assert via.endswith(f", {below}")
