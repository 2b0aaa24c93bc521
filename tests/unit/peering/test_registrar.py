"""A PBX registers with us: what it may bind, what it gets told, where its calls go, and what a restart leaves."""
# RFC: 6140

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sbc.core import limits
from sbc.core.address import Address, Flow, Transport
from sbc.core.commands import Log, StoreState
from sbc.core.secret import Secret
from sbc.peering.bindings import BindingMoved, is_same_number
from sbc.peering.registrar import Registrar, _Saved
from sbc.policy.model import Auth, Peer
from sbc.sip.errors import ParseError
from sbc.sip.nameaddr import parse_name_addr
from sbc.testing.build import request
from sbc.testing.seeds import seeded_ids

HERE = Address("192.0.2.1", 5060)
THERE = Address("192.0.2.9", 5060)
UDP = Flow(Transport.UDP, "inside", HERE, THERE)
TCP = Flow(Transport.TCP, "inside", HERE, Address("192.0.2.9", 40_321), 7)
TLS = Flow(Transport.TLS, "inside", HERE, Address("192.0.2.9", 40_321), 7)
PBX = Peer("office", "pbx", "inside", (), registers=True, auth=Auth("office", Secret("x")))
BRANCH = Peer("branch", "pbx", "inside", (), registers=True, auth=Auth("branch", Secret("y")))
OWNED = {"office": ("+14155550100", "+14155550101", "4155550102"), "branch": ("+14155550200",)}
WALL = 1_738_314_000.0
CONTACT = "<sip:office@192.0.2.9:5060>"


class Desk:
    """The registrar with its clock, and one REGISTER in a line."""

    def __init__(self):
        self.registrar = Registrar(seeded_ids())
        self.registrar.restore((), 0.0, WALL)
        self.now = 0.0
        self.cseq = 0
        self.kept = {}
        self.said = []
        self.moved = []

    def registers(
        self,
        *contacts,
        aor="office",
        expires=None,
        pbx=PBX,
        flow=UDP,
        call_id="a",
        cseq=None,
        fields=(),
        uri=None,
        request_uri="sip:sbc.example",
    ):
        self.cseq += 1
        fields = (*fields, *(("Contact", contact) for contact in contacts))
        if expires is not None:
            fields = (*fields, ("Expires", str(expires)))
        to = uri or f"sip:{aor}@sbc.example"
        try:
            message = request(
                "REGISTER", to=to, uri=request_uri, call_id=call_id, cseq=cseq or self.cseq, fields=fields
            )
        except ParseError as error:
            return error.status  # the endpoint has answered it
        status, answer, outs = self.registrar.take(pbx, message, flow, OWNED[pbx.name].__contains__, self.now)
        self.note(outs)
        self.fields = dict(answer)
        self.listed = [value for name, value in answer if name == "Contact"]
        return status

    def passes(self, seconds):
        end = self.now + seconds
        while (at := self.registrar.next_deadline()) is not None and at <= end:
            self.now = max(at, self.now)
            self.note(self.registrar.tick(self.now))
        self.now = end

    def note(self, outs):
        for out in outs:
            if isinstance(out, Log):
                self.said.append(out.event)
            elif isinstance(out, BindingMoved):
                self.moved.append(out)
            elif out.value is None:
                self.kept.pop(out.key, None)
            else:
                self.kept[out.key] = out.value
        return outs

    def restarted(self, down=0.0):
        """Another process with what this one left on disk; the engine's clock goes on."""
        after = Desk()
        after.now = self.now + down
        after.registrar = Registrar(seeded_ids())
        after.kept = dict(self.kept)
        after.registrar.restore(self.kept.items(), after.now, WALL)
        return after

    def left_by_an_earlier_version(self, down=0.0):
        """As `restarted`, of one that kept wall-clock times, on a clock that begins anew."""
        after = Desk()
        after.registrar = Registrar(seeded_ids())
        for key, value in self.kept.items():
            bindings = msgspec.msgpack.decode(value, type=_Saved).bindings
            wall = [
                replace(one, expires_at=one.expires_at + WALL, updated_at=one.updated_at + WALL) for one in bindings
            ]
            after.kept[key] = msgspec.msgpack.encode(wall)
        after.registrar.restore(after.kept.items(), 0.0, WALL + self.now + down)
        return after

    def targets(self, called, pbx="office"):
        return [binding.target(called) for binding in self.registrar.bindings_for(pbx, called)]


# --- who may bind what ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "status"),
    [
        ("sip:office@sbc.example", 200),
        ("sip:office@anything.at.all;user=phone", 200),
        ("sip:%6Fffice@sbc.example", 200),
        ("sip:+14155550100@sbc.example", 200),
        ("tel:+1-415-555-0100", 200),
        ("sip:+14155550200@sbc.example", 404),  # the branch's, which nobody is told
        ("sip:+14155559999@sbc.example", 404),
        ("sip:Office@sbc.example", 404),
        ("sip:sbc.example", 404),
        ("mailto:office@sbc.example", 404),
    ],
)
def test_a_pbx_binds_its_account_and_its_own_numbers(uri, status):
    assert Desk().registers(CONTACT, uri=uri) == status


def test_a_pbx_without_an_account_is_known_by_its_name():
    desk = Desk()
    assert desk.registers(CONTACT, pbx=msgspec.structs.replace(PBX, auth=None)) == 200
    assert desk.targets("+14155550100") == ["sip:+14155550100@192.0.2.9:5060"]


def test_an_extension_that_we_do_not_speak_is_refused():
    desk = Desk()
    assert desk.registers(CONTACT, fields=(("Require", "gin, outbound"),)) == 420
    assert desk.fields == {"Unsupported": "outbound"}
    assert desk.registers(CONTACT, fields=(("Require", "path"), ("Proxy-Require", "GIN"))) == 200


@pytest.mark.parametrize(
    "contact",
    [
        "<tel:+14155550100>",
        "<mailto:a@b>",
        "<sips:office@192.0.2.9>",
        "<<",
        f"<sip:{'a' * 1100}@192.0.2.9>",
        "<sip:office@192.0.2.9>;note=ä",
    ],
)
def test_a_contact_that_no_call_could_go_to_is_refused(contact):
    desk = Desk()
    assert desk.registers(contact) == 400
    assert desk.kept == {}


# --- for how long -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("contact", "expires", "granted"),
    [
        (CONTACT, None, 3600),
        (CONTACT, 300, 300),
        (CONTACT + ";expires=120", 300, 120),
        (CONTACT + ";expires=soon", 300, 3600),
        (CONTACT + ";expires", 300, 3600),
        (CONTACT, "soon", 3600),
        (CONTACT, 60, 60),
        (CONTACT, 86400, 7200),
        (CONTACT + ";expires=99999999999999", None, 7200),
        (CONTACT, 2**40, 7200),
    ],
)
def test_the_parameter_counts_more_than_the_header_and_both_are_bounded(contact, expires, granted):
    desk = Desk()
    assert desk.registers(contact, expires=expires) == 200
    assert desk.listed == [f"{CONTACT};expires={granted}"]
    assert desk.registrar.views("office")[0].expires_at == granted


@pytest.mark.parametrize("seconds", [1, 30, 59])
def test_too_short_gets_423_with_the_minimum(seconds):
    desk = Desk()
    assert desk.registers(CONTACT, expires=seconds) == 423
    assert desk.fields == {"Min-Expires": "60"}
    assert desk.targets("+14155550100") == []


def test_a_binding_expires_with_a_line_and_leaves_nothing():
    desk = Desk()
    desk.registers(CONTACT, expires=60)
    desk.passes(59.9)
    assert desk.targets("+14155550100")
    desk.passes(0.1)
    assert desk.targets("+14155550100") == []
    assert desk.said == ["binding.added", "binding.expired"]
    assert desk.kept == {}
    assert desk.registrar.next_deadline() is None


def test_a_refresh_moves_the_end_and_says_nothing():
    desk = Desk()
    desk.registers(CONTACT, expires=60)
    desk.passes(50.0)
    desk.registers(CONTACT, expires=60)
    desk.passes(50.0)
    assert desk.targets("+14155550100")
    assert desk.said == ["binding.added"]


def test_the_answer_lists_every_contact_with_what_is_left_of_it():
    desk = Desk()
    desk.registers(CONTACT, expires=600)
    desk.passes(100.5)
    desk.registers("<sip:other@192.0.2.9>;q=0.5", expires=300)
    assert desk.listed == [f"{CONTACT};expires=499", "<sip:other@192.0.2.9>;q=0.5;expires=300"]
    assert desk.fields["Date"] == "Fri, 31 Jan 2025 09:01:40 GMT"


def test_a_question_changes_nothing():
    desk = Desk()
    desk.registers(CONTACT, expires=600)
    kept = dict(desk.kept)
    assert desk.registers() == 200
    assert desk.listed == [f"{CONTACT};expires=600"]
    assert desk.kept == kept


# --- removal, order, atomicity ----------------------------------------------------------------------------------------


def test_expires_0_removes_one_and_star_removes_all():
    desk = Desk()
    desk.registers("<sip:a@192.0.2.9>", "<sip:b@192.0.2.9>", "<sip:c@192.0.2.9>")
    desk.registers("<sip:b@192.0.2.9>;expires=0")
    assert [parse_name_addr(text).uri.user for text in desk.listed] == ["a", "c"]
    assert desk.registers("*", expires=0) == 200
    assert desk.listed == []
    assert desk.kept == {}
    assert desk.said.count("binding.removed") == 3


@pytest.mark.parametrize(("contacts", "expires"), [(("*",), None), (("*",), 60), (("*", CONTACT), 0), (("*", "*"), 0)])
def test_a_star_that_is_not_alone_or_not_with_expires_0_is_refused(contacts, expires):
    desk = Desk()
    desk.registers(CONTACT)
    assert desk.registers(*contacts, expires=expires) == 400
    assert desk.targets("+14155550100")


def test_a_late_register_changes_nothing():
    desk = Desk()
    desk.registers(CONTACT, expires=600, cseq=10)
    for cseq in (9, 10):
        assert desk.registers(CONTACT, expires=0, cseq=cseq) == 500
        assert desk.registers("*", expires=0, cseq=cseq) == 500
    assert desk.targets("+14155550100")
    assert desk.registers(CONTACT, expires=0, cseq=1, call_id="other") == 200  # another Call-ID knows no order
    assert not desk.targets("+14155550100")


@pytest.mark.parametrize("bad", ["<sip:b@192.0.2.9>;expires=5", "<tel:+1>", "<sip:x@192.0.2.9;bnc>"])
def test_one_bad_contact_undoes_the_whole(bad):
    desk = Desk()
    desk.registers(CONTACT, expires=600)
    before = desk.listed, dict(desk.kept)
    assert desk.registers("<sip:a@192.0.2.9>", f"{CONTACT};expires=0", bad) in (400, 423)
    desk.registers()
    assert (desk.listed, desk.kept) == before


def test_one_late_contact_undoes_the_whole():
    desk = Desk()
    desk.registers(CONTACT, cseq=5)
    assert desk.registers("<sip:a@192.0.2.9>", CONTACT, cseq=5) == 500
    desk.registers()
    assert len(desk.listed) == 1


def test_contacts_are_compared_as_rfc_3261_compares_uris():
    desk = Desk()
    desk.registers("<sip:office@PBX.example:5060;Lr>")
    desk.registers("<sip:%6Fffice@pbx.EXAMPLE:5060;x=1>")
    assert len(desk.listed) == 1
    desk.registers("<sip:office@pbx.example>")  # a port that is not named is another URI
    assert len(desk.listed) == 2


# BOUND: BINDINGS_PER_AOR
def test_the_oldest_contact_makes_room_and_too_many_at_once_are_refused():
    desk = Desk()
    for n in range(limits.BINDINGS_PER_AOR + 3):
        desk.now = float(n)
        assert desk.registers(f"<sip:office@192.0.2.9:{5060 + n}>") == 200
    assert len(desk.listed) == limits.BINDINGS_PER_AOR
    assert "5060" not in desk.listed[0]
    many = [f"<sip:x{n}@192.0.2.9>" for n in range(limits.BINDINGS_PER_AOR + 1)]
    assert desk.registers(*many) == 400


# BOUND: AORS_PER_PBX
def test_the_table_of_one_pbx_is_bounded(monkeypatch):
    monkeypatch.setattr(limits, "AORS_PER_PBX", 2)
    desk = Desk()
    assert desk.registers(CONTACT, aor="+14155550100") == 200
    assert desk.registers(CONTACT, aor="+14155550101") == 200
    assert desk.registers(CONTACT) == 503
    assert desk.registers(CONTACT, aor="+14155550101") == 200
    assert desk.registers(CONTACT, aor="branch", pbx=BRANCH) == 200


# --- where calls go ---------------------------------------------------------------------------------------------------


def test_a_call_goes_where_the_register_came_from():
    desk = Desk()
    desk.registers("<sip:office@10.0.0.5:5060>", flow=UDP)
    (binding,) = desk.registrar.bindings_for("office", "+14155550100")
    assert binding.flow == UDP
    assert binding.target("+14155550100") == "sip:+14155550100@10.0.0.5:5060"


def test_the_main_aor_gets_the_number_in_place_of_its_user():
    desk = Desk()
    desk.registers("<sip:office:secret@192.0.2.9:5062;transport=udp;method=INVITE?Replaces=x>")
    assert desk.targets("+14155550101") == ["sip:+14155550101@192.0.2.9:5062;transport=udp"]
    (binding,) = desk.registrar.bindings_for("office", "+14155550101")
    assert binding.target("*67#", "+14155550101") == "sip:*67%23@192.0.2.9:5062;transport=udp"


def test_the_aor_of_the_number_itself_comes_first_and_as_it_was_registered():
    desk = Desk()
    desk.registers("<sip:192.0.2.9;bnc>", aor="office")
    desk.registers("<sip:line7@192.0.2.9:5064>", aor="+14155550101")
    desk.registers("<sip:main@192.0.2.9>", aor="office")
    assert desk.targets("+14155550101") == [
        "sip:line7@192.0.2.9:5064",
        "sip:+14155550101@192.0.2.9",
        "sip:+14155550101@192.0.2.9",
    ]
    assert len(desk.targets("+14155550100")) == 2  # the other number's own AOR takes no call for this one


def test_an_aor_in_national_form_is_its_number():
    desk = Desk()
    desk.registers("<sip:a@192.0.2.9>", aor="4155550102")
    assert desk.targets("+14155550102") == ["sip:a@192.0.2.9"]
    assert desk.targets("+14155550101") == []


@pytest.mark.parametrize(
    ("aor", "called", "same"),
    [
        ("+14155550100", "+14155550100", True),
        ("14155550100", "+14155550100", True),
        ("02079460000", "+442079460000", True),
        ("0044207946000", "+44207946000", True),
        ("0100", "+14155550100", False),
        ("0", "00", False),
        ("office", "office", True),
        ("office", "+1", False),
    ],
)
def test_when_an_aor_is_a_number(aor, called, same):
    assert is_same_number(aor, called) is same


def test_better_q_first_and_then_the_newest():
    desk = Desk()
    for n, q in enumerate(("0.5", "1.0", "0.5", "nonsense", "0.7")):
        desk.now = float(n)
        desk.registers(f"<sip:u{n}@192.0.2.{n + 1}>;q={q}", aor="+14155550100")
    users = [target.partition("@")[0] for target in desk.targets("+14155550100")]
    assert users == ["sip:u3", "sip:u1", "sip:u4", "sip:u2", "sip:u0"]


def test_one_pbx_neither_sees_nor_gets_what_another_has_bound():
    desk = Desk()
    desk.registers(CONTACT, aor="office")
    assert desk.registers(CONTACT, aor="office", pbx=BRANCH) == 404
    assert desk.targets("+14155550100", "branch") == []
    assert desk.registrar.views("branch") == ()


# --- RFC 6140 ---------------------------------------------------------------------------------------------------------

GIN = (("Require", "gin"), ("Proxy-Require", "gin"), ("Supported", "path"))


def test_a_bulk_contact_takes_every_number_with_its_parameters_but_bnc():
    desk = Desk()
    assert desk.registers("<sip:192.0.2.9:5070;bnc;foo=bar>", fields=GIN, expires=7200) == 200
    assert desk.listed == ["<sip:192.0.2.9:5070;bnc;foo=bar>;expires=7200"]
    assert desk.targets("+14155550100") == ["sip:+14155550100@192.0.2.9:5070;foo=bar"]
    (binding,) = desk.registrar.bindings_for("office", "+14155550101")
    assert binding.target("0101", "+14155550101") == "sip:+14155550101@192.0.2.9:5070;foo=bar"  # always E.164


@pytest.mark.parametrize("contact", ["<sip:pbx@192.0.2.9;bnc>", "<sip:192.0.2.9;bnc;user=phone>"])
def test_a_bulk_contact_with_a_user_is_refused(contact):
    assert Desk().registers(contact, fields=GIN) == 400


def test_a_single_number_cannot_be_taken_out_of_a_bulk_registration():
    desk = Desk()
    desk.registers("<sip:192.0.2.9;bnc>", fields=GIN)
    assert desk.registers("<sip:+14155550100@192.0.2.9>;expires=0", aor="+14155550100") == 200
    assert desk.registers("*", expires=0, aor="+14155550100") == 200
    assert desk.listed == []
    assert desk.targets("+14155550100") == ["sip:+14155550100@192.0.2.9"]


# --- Path -------------------------------------------------------------------------------------------------------------


def test_a_path_is_kept_given_back_and_gone_along():
    desk = Desk()
    path = ("Path", "<sip:p3@198.51.100.1;lr>, <sip:p1.example;lr>")
    desk.registers(CONTACT, fields=(path, ("Supported", "path")))
    assert desk.fields["Path"] == "<sip:p3@198.51.100.1;lr>, <sip:p1.example;lr>"
    assert desk.registrar.bindings_for("office", "+14155550100")[0].path == (
        "sip:p3@198.51.100.1;lr",
        "sip:p1.example;lr",
    )


@pytest.mark.parametrize("path", ["<<", f"<sip:{'a' * 3000}>", "<sip:ü@x>", ", ".join(["<sip:p@x;lr>"] * 300)])
def test_a_path_that_cannot_be_kept_is_refused(path):
    desk = Desk()
    assert desk.registers(CONTACT, fields=(("Path", path),)) == 400
    assert desk.kept == {}


# --- connections ------------------------------------------------------------------------------------------------------


def test_calls_go_through_the_connection_of_the_registration():
    desk = Desk()
    desk.registers("<sip:office@192.0.2.9:5060;transport=tcp>", flow=TCP)
    assert desk.registrar.bindings_for("office", "+14155550100")[0].flow == TCP


def test_a_lost_connection_leaves_the_contacts_own_address():
    desk = Desk()
    desk.registers("<sip:office@192.0.2.9:5066;transport=tcp>", flow=TCP)
    assert desk.note(desk.registrar.flow_failed(Flow(Transport.TCP, "inside", HERE, TCP.remote, 8), 1.0)) == []
    desk.note(desk.registrar.flow_failed(TCP, 1.0))
    (binding,) = desk.registrar.bindings_for("office", "+14155550100")
    assert binding.flow == Flow(Transport.TCP, "inside", HERE, Address("192.0.2.9", 5066))
    assert desk.said == ["binding.added"]


def test_a_lost_connection_from_behind_a_nat_takes_the_binding_with_it():
    desk = Desk()
    desk.registers("<sip:office@10.0.0.5:5060;transport=tcp>", flow=TCP)
    desk.note(desk.registrar.flow_failed(TCP, 1.0))
    assert desk.targets("+14155550100") == []
    assert desk.said == ["binding.added", "binding.lost"]
    assert desk.kept == {}
    assert desk.registrar.next_deadline() is None


def test_an_unreached_datagram_takes_no_binding():
    desk = Desk()
    desk.registers(CONTACT)
    assert desk.registrar.flow_failed(UDP, 1.0) == []
    assert desk.targets("+14155550100")


# --- restart ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("restarted", "expires_at"), [(Desk.restarted, 1600.0), (Desk.left_by_an_earlier_version, 450.0)]
)
def test_bindings_survive_a_restart(restarted, expires_at):
    desk = Desk()
    desk.passes(1000.0)
    desk.registers("<sip:192.0.2.9;bnc>;q=0.3;x=y", fields=(*GIN, ("Path", "<sip:p;lr>")), expires=600)
    desk.passes(100.0)
    after = restarted(desk, down=50.0)
    (binding,) = after.registrar.bindings_for("office", "+14155550100")
    assert binding.expires_at == pytest.approx(expires_at)
    assert (binding.flow, binding.path, binding.q, binding.params) == (
        UDP,
        ("sip:p;lr",),
        0.3,
        (("q", "0.3"), ("x", "y")),
    )
    after.passes(451.0)
    assert after.kept == {}


def test_the_order_of_registers_survives_a_restart():
    desk = Desk()
    desk.registers(CONTACT, cseq=10)
    after = desk.restarted()
    assert after.registers(CONTACT, expires=0, cseq=10) == 500
    assert after.registers(CONTACT, expires=0, cseq=11) == 200


def test_what_expired_meanwhile_is_dropped_and_forgotten_on_disk():
    desk = Desk()
    desk.registers(CONTACT, expires=60)
    after = desk.restarted(down=61.0)
    assert after.targets("+14155550100") == []
    after.passes(0.0)
    assert after.kept == {}
    assert after.registrar.next_deadline() is None


def test_a_clock_that_went_back_keeps_no_binding_for_ever():
    desk = Desk()
    desk.registers(CONTACT, expires=600)
    after = desk.left_by_an_earlier_version(down=-1_000_000.0)
    assert after.registrar.views("office")[0].expires_at == 7200.0


def test_connections_do_not_survive_a_restart_but_addresses_do():
    desk = Desk()
    desk.registers("<sip:a@192.0.2.9:5066;transport=tcp>", flow=TCP, aor="+14155550100")
    desk.registers("<sip:b@10.0.0.5;transport=tcp>", flow=TCP, aor="+14155550101")
    after = desk.restarted()
    (binding,) = after.registrar.bindings_for("office", "+14155550100")
    assert (binding.flow.connection, binding.flow.remote.port) == (0, 5066)
    assert after.targets("+14155550101") == []


def test_a_step_of_the_wall_clock_is_nothing_to_a_binding():
    desk = Desk()
    desk.registers(CONTACT, expires=600)
    desk.registrar.set_wall(WALL + 5000.0)
    assert desk.restarted(down=10.0).registrar.views("office")[0].expires_at == 600.0


def test_without_a_wall_clock_there_is_no_date():
    desk = Desk()
    desk.registrar.set_wall(0.0)
    desk.registers(CONTACT)
    assert "Date" not in desk.fields


def test_a_contact_that_was_kept_and_is_no_sip_uri_is_forgotten():
    desk = Desk()
    desk.registers(CONTACT)
    (key,) = desk.kept
    desk.kept[key] = desk.kept[key].replace(b"sip:office@192.0.2.9:5060", b"tel:+14155550100500000000")
    assert desk.restarted().registrar.views("office") == ()


@pytest.mark.parametrize("value", [b"", b"\xff", b"nonsense", msgspec.msgpack.encode([1]), b"\x91\xa1\xff"])
def test_what_was_kept_and_cannot_be_read_is_forgotten(value):
    registrar = Registrar(seeded_ids())
    registrar.restore([("binding/office/office", value), ("register/carrier", b"x")], 5.0, WALL)
    assert registrar.tick(5.0) == [StoreState("binding/office/office", None)]
    assert registrar.next_deadline() is None


def test_a_pbx_that_left_the_policy_is_forgotten():
    desk = Desk()
    desk.registers(CONTACT)
    desk.registers(CONTACT, aor="+14155550100")
    desk.registers(CONTACT, aor="branch", pbx=BRANCH)
    desk.note(desk.registrar.forget("office"))
    assert list(desk.kept) == ["binding/branch/branch"]
    assert desk.registrar.forget("office") == []


# --- whatever comes ---------------------------------------------------------------------------------------------------

CONTACTS = st.sampled_from([
    "<sip:a@192.0.2.9>", "<sip:b@192.0.2.9>", "<sip:A@192.0.2.9>", "<sip:%61@192.0.2.9>", "<sip:a@10.0.0.5>",
    "<sip:192.0.2.9;bnc>", "<sip:x@192.0.2.9;bnc>", "*", "<tel:+1>",
])  # fmt: skip
REGISTERS = st.fixed_dictionaries(
    {
        "contacts": st.lists(CONTACTS, max_size=4),
        "aor": st.sampled_from(["office", "+14155550100", "+14155550200"]),
        "expires": st.sampled_from([None, 0, 30, 60, 600, 10_000]),
        "flow": st.sampled_from([UDP, TCP]),
        "call_id": st.sampled_from(["a", "b"]),
        "cseq": st.integers(1, 6),
        "passes": st.sampled_from([0.0, 1.0, 59.0, 700.0]),
        "loses": st.booleans(),
    }
)


@given(st.lists(REGISTERS, max_size=12))
def test_whatever_comes_in_what_is_listed_called_stored_and_restored_agrees(steps):
    desk = Desk()
    for step in steps:
        before = sorted(map(str, desk.registrar.views("office"))), dict(desk.kept)
        status = desk.registers(
            *step["contacts"], **{k: step[k] for k in ("aor", "expires", "flow", "call_id", "cseq")}
        )
        if status != 200:
            assert (sorted(map(str, desk.registrar.views("office"))), desk.kept) == before
        if step["loses"]:
            desk.note(desk.registrar.flow_failed(TCP, desk.now))
        desk.passes(step["passes"])
        views = desk.registrar.views("office")
        assert all(desk.now < view.expires_at <= desk.now + 7200 for view in views)
        assert {f"binding/office/{view.aor}" for view in views} == set(desk.kept)
        assert (desk.registrar.next_deadline() is None) == (not views)
        after = desk.restarted()
        old = {view.contact for view in views if "tcp" not in view.address or "10.0.0.5" not in view.contact}
        assert {view.contact for view in after.registrar.views("office")} == old
        for target in desk.targets("+14155550100"):
            assert parse_name_addr(f"<{target}>").uri.user
    desk.passes(8000.0)
    assert desk.kept == {}


def test_a_contact_that_is_reached_another_way_is_said_once():
    desk = Desk()
    desk.registers(CONTACT, flow=UDP)
    moved = Flow(Transport.UDP, "inside", HERE, Address("192.0.2.9", 6001))
    desk.registers(CONTACT, flow=moved)
    desk.registers(CONTACT, flow=moved)
    assert desk.moved == [BindingMoved("office", UDP, moved)]


def test_a_contact_whose_connection_is_gone_is_known_when_it_comes_again():
    desk = Desk()
    private = "<sip:office@192.168.1.10:5060;transport=tcp>"
    desk.registers(private, flow=TCP)
    desk.note(desk.registrar.flow_failed(TCP, desk.now))
    assert desk.moved == []
    again = Flow(Transport.TCP, "inside", HERE, Address("192.0.2.9", 40_400), 8)
    desk.registers(private, flow=again)
    assert desk.moved == [BindingMoved("office", TCP, again)]


# BOUND: LOST_BINDINGS
def test_contacts_whose_connections_are_gone_are_forgotten_when_they_are_many(monkeypatch):
    monkeypatch.setattr(limits, "LOST_BINDINGS", 1)
    desk = Desk()
    for host in ("192.168.1.10", "192.168.1.11"):
        desk.registers(f"<sip:office@{host}:5060;transport=tcp>", flow=TCP)
    desk.note(desk.registrar.flow_failed(TCP, desk.now))
    again = Flow(Transport.TCP, "inside", HERE, Address("192.0.2.9", 40_400), 8)
    desk.registers(
        "<sip:office@192.168.1.10:5060;transport=tcp>", "<sip:office@192.168.1.11:5060;transport=tcp>", flow=again
    )
    assert len(desk.moved) == 1


# BOUND: CONTACT_CHARACTERS, PATH_CHARACTERS
def test_what_is_too_long_to_be_kept_is_refused():
    desk = Desk()
    room = limits.CONTACT_CHARACTERS
    assert desk.registers(f"<sip:{'a' * 200}@192.0.2.9>;x={'y' * (room - 300)}") == 200
    assert desk.registers(f"<sip:{'a' * 200}@192.0.2.9>;x={'y' * room}") == 400
    path = [("Path", f"<sip:{'p' * 200}{n}@192.0.2.{n};lr>") for n in range(limits.PATH_CHARACTERS // 200)]
    assert desk.registers(CONTACT, fields=tuple(path[:3])) == 200
    assert desk.registers(CONTACT, fields=tuple(path)) == 400


# RFC: 5630
@pytest.mark.parametrize(
    ("contacts", "uri", "fields", "status"),
    [
        (("<sips:a@192.0.2.9>",), "sips:sbc.example", (), 200),
        (("<sips:a@192.0.2.9>",), "sip:sbc.example", (), 400),
        (("<sips:a@192.0.2.9>", "<sip:b@192.0.2.9>"), "sips:sbc.example", (), 400),
        (("<sips:a@192.0.2.9>",), "sips:sbc.example", (("Path", "<sip:p.example;lr>"),), 400),
        (("<sips:a@192.0.2.9>",), "sips:sbc.example", (("Path", "<sips:p.example;lr>"),), 200),
        (("<sip:a@192.0.2.9>",), "sips:sbc.example", (), 200),
    ],
)
def test_a_sips_contact_is_bound_only_where_all_is_sips(contacts, uri, fields, status):
    """§5.2."""
    assert Desk().registers(*contacts, request_uri=uri, fields=fields, flow=TLS) == status
    if status == 200:
        in_the_clear = Desk().registers(*contacts, request_uri=uri, fields=fields)
        assert in_the_clear == (400 if contacts[0].startswith("<sips:") else 200)


# RFC: 5630
def test_a_telephone_that_registers_by_sips_and_then_by_sip_is_one():
    """§5.1.1.1: "that SIP Contact header field replaces the SIPS Contact header field"."""
    desk = Desk()
    for scheme in ("sips", "sip", "sips"):
        assert desk.registers(f"<{scheme}:a@192.0.2.9>", request_uri=f"{scheme}:sbc.example", flow=TLS) == 200
        assert [one.partition(";")[0] for one in desk.listed] == [f"<{scheme}:a@192.0.2.9>"]
