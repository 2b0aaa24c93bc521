"""What was read becomes the values of `model`, after the checks that need to see more than one place.

Values are made of good fields only; when anything was wrong, all problems are raised and nothing is made.
"""

from collections.abc import Mapping
from typing import Any, Literal

from sbc.policy import crosscheck
from sbc.policy.engine import Policy
from sbc.policy.merge import Draft
from sbc.policy.model import DidRange, Interface, MediaSettings, Peer, Route, Settings, Via, Where
from sbc.policy.numbers import NumberPlan
from sbc.policy.problems import Problems
from sbc.policy.schema import Fields


def build_policy(
    draft: Draft, start: Where, files: tuple[str, ...], environment: Mapping[str, str], problems: Problems
) -> Policy:
    settings = _settings(draft.settings["sbc"], environment)
    crosscheck.check_draft(draft, start, problems)
    plan = NumberPlan(settings.country)
    dids = [did for name, fields in draft.named["pbxs"].items() for did in _dids(name, fields, plan, problems)]
    crosscheck.check_dids(dids, problems)
    problems.raise_any(files)
    peers = [_peer(name, fields, "pbx") for name, fields in draft.named["pbxs"].items()]
    peers += [_peer(name, fields, "trunk") for name, fields in draft.named["trunks"].items()]
    crosscheck.check_sources(peers, problems)
    problems.raise_any(files)
    return Policy(
        settings,
        interfaces=[_interface(name, fields) for name, fields in draft.named["interfaces"].items()],
        media=_media(draft.settings["media"]),
        peers=peers,
        routes=[_route(n, fields) for n, fields in enumerate(draft.lists["routes"], 1)],
        dids=dids,
        warnings=problems.warnings,
    )


def _settings(fields: Fields, environment: Mapping[str, str]) -> Settings:
    # systemd lists several directories with colons; the first is the main one.
    state = environment.get("STATE_DIRECTORY", "").partition(":")[0]
    return Settings(
        name=fields.get("name", "sbc"),
        data_dir=fields.get("data_dir", state or "./var"),
        admin=fields.get("admin", "127.0.0.1:8088"),
        country=fields.get("country", "US"),
        stop_after=fields.get("stop_after", 10.0),
    )


def _media(fields: Fields) -> MediaSettings:
    first, last = fields.get("ports", (20_000, 29_999))
    return MediaSettings(first, last, fields.get("engine", "auto"), fields.get("workers", 1))


def _interface(name: str, fields: Fields) -> Interface:
    advertise: Fields = fields.get("advertise", Fields(fields.where))
    dscp: Fields = fields.get("dscp", Fields(fields.where))
    return Interface(
        name=name,
        listeners=_values(fields, "sip"),
        media=_values(fields, "media"),
        sip_advertise=advertise.get("sip"),
        media_advertise=advertise.get("media"),
        dscp_sip=dscp.get("sip", 0),
        dscp_media=dscp.get("media", 0),
        where=fields.where,
    )


def _peer(name: str, fields: Fields, kind: Literal["pbx", "trunk"]) -> Peer:
    called_form, caller_form = fields.get("numbers", ("e164", "e164"))
    return Peer(
        name=name,
        kind=kind,
        interface=fields.get("interface"),
        servers=_values(fields, "address" if kind == "pbx" else "servers"),
        accept=tuple(dict.fromkeys(_values(fields, "accept"))),
        domain=fields.get("domain"),
        called_from=fields.get("called_from", "ruri"),
        called_form=called_form,
        caller_form=caller_form,
        latching=fields.get("latching", "address"),
        no_reply=fields.get("no_reply", 4.0),
        no_progress=fields.get("no_progress", 20.0),
        no_answer=fields.get("no_answer", 180.0),
        where=fields.where,
    )


def _route(position: int, fields: Fields) -> Route:
    return Route(
        name=fields.get("name", f"route-{position}"),
        from_peers=_values(fields, "from"),
        to=_values(fields, "to"),
        caller=_values(fields, "caller"),
        strip=fields.get("strip", 0),
        prepend=fields.get("prepend", ""),
        via=tuple([Via(name) for name in _values(fields, "via")]),
        reject=fields.get("reject", 0),
        no_answer=fields.get("no_answer"),
        where=fields.where,
    )


def _dids(pbx: str, fields: Fields, plan: NumberPlan, problems: Problems) -> list[DidRange]:
    """Numbers as E.164 where they have such a form, so that an owner is found however a carrier writes them."""
    ranges = []
    for at in fields.get("dids", ()):
        first, last = (plan.read(text).best for text in at.value)
        if len(first) != len(last):
            problems.wrong(
                at.where, f"the range {at.value[0]}-{at.value[1]} mixes kinds of numbers", "expected one kind"
            )
            continue
        ranges.append(DidRange(first, last, pbx, at.where))
    return ranges


def _values(fields: Fields, name: str) -> tuple[Any, ...]:
    return tuple(at.value for at in fields.get(name, ()))
