"""What was read becomes the values of `model`, after the checks that need to see more than one place.

Values are made of good fields only; when anything was wrong, all problems are raised and nothing is made.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import msgspec

from sbc.policy import crosscheck, listcheck, peercheck, routecheck, sourcecheck, tlscheck
from sbc.policy.addresses import ANY
from sbc.policy.engine import Policy
from sbc.policy.identity import caller_id
from sbc.policy.media import media_settings
from sbc.policy.merge import Draft
from sbc.policy.methods import allowed_events, allowed_methods
from sbc.policy.model import (
    EVENTS,
    FIXED,
    TALK_METHODS,
    CallerId,
    CodecRules,
    DidRange,
    HeaderRules,
    Interface,
    PathRules,
    Peer,
    Route,
    SessionTimerRules,
    Settings,
    Via,
    WhenFull,
    Where,
)
from sbc.policy.numbers import NumberPlan
from sbc.policy.operation import admin_token, cdr_rules, hep_server, log_rules
from sbc.policy.peers import DidEntry
from sbc.policy.problems import Problems, ordered
from sbc.policy.protection import BanRules, SrtpRules
from sbc.policy.schema import At, Fields
from sbc.policy.secrets import Vault, account
from sbc.policy.steps import disaster_steps
from sbc.policy.tls import interface_tls, peer_tls, spoken


def build_policy(draft: Draft, start: Where, files: tuple[str, ...], vault: Vault, problems: Problems) -> Policy:
    """`vault`: the environment and the files that passwords are fetched from."""
    settings = _settings(draft.settings, vault, problems)
    crosscheck.check_draft(draft, start, problems)
    peercheck.check_peers(draft, problems)
    tlscheck.check_tls(draft, problems)
    routecheck.check_routes(draft, problems)
    plan = NumberPlan(settings.country)
    dids = [did for name, fields in draft.named["pbxs"].items() for did in _dids(name, fields, plan, problems)]
    crosscheck.check_dids(dids, problems)
    problems.raise_any(files)
    interfaces = {name: _interface(name, of, vault, problems) for name, of in draft.named["interfaces"].items()}
    made = _Builder(plan, draft.settings["path_pools"], interfaces, vault, problems)
    peers = [made.peer(name, fields, "pbx") for name, fields in draft.named["pbxs"].items()]
    peers += [made.peer(name, fields, "trunk") for name, fields in draft.named["trunks"].items()]
    routes = [made.route(n, fields) for n, fields in enumerate(draft.lists["routes"], 1)]
    sourcecheck.check_sources(peers, routes, dids, plan, problems)
    listcheck.check_lists(peers, interfaces, problems)
    routecheck.warn_operator(peers, routes, dids, plan, problems)
    problems.raise_any(files)
    return Policy(
        settings,
        interfaces=tuple(interfaces.values()),
        media=media_settings(draft.settings["media"]),
        peers=peers,
        routes=routes,
        dids=dids,
        path_pools={name: at.value for name, at in draft.settings["path_pools"].found.items()},
        warnings=ordered(problems.warnings, files),
        unresolved=ordered(problems.unresolved, files),
    )


def _settings(sections: Mapping[str, Fields], vault: Vault, problems: Problems) -> Settings:
    fields = sections["sbc"]
    # systemd lists several directories with colons; the first is the main one.
    state = vault.environment.get("STATE_DIRECTORY", "").partition(":")[0]
    alerts: Fields = fields.get("alerts", Fields(fields.where))
    return Settings(
        name=fields.get("name", "sbc"),
        data_dir=fields.get("data_dir", state or "./var"),
        admin=fields.get("admin", "127.0.0.1:8088"),
        country=fields.get("country", "US"),
        stop_after=fields.get("stop_after", 10.0),
        cps=fields.get("cps"),
        webhook=alerts.get("webhook"),
        admin_token=admin_token(fields, vault, problems),
        log=log_rules(fields),
        hep=hep_server(fields, vault, problems),
        cdr=cdr_rules(fields, vault, problems),
        bans=fields.get("bans", BanRules()),
        places=_places(sections),
    )


def _places(sections: Mapping[str, Fields]) -> dict[str, Where]:
    split = [(key, *key.split(".")) for key in FIXED]
    return {key: sections[section].place(name) for key, section, name in split if name in sections[section].found}


def _interface(name: str, fields: Fields, vault: Vault, problems: Problems) -> Interface:
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
        tls=interface_tls(fields, vault, problems),
        where=fields.where,
    )


class _Builder:
    """Peers and routes, with what their values need to know of other places."""

    def __init__(
        self,
        plan: NumberPlan,
        pools: Fields,
        interfaces: Mapping[str, Interface],
        vault: Vault,
        problems: Problems,
    ) -> None:
        self._plan = plan
        self._pools = pools
        self._interfaces = interfaces
        self._vault = vault
        self._problems = problems

    def peer(self, name: str, fields: Fields, kind: Literal["pbx", "trunk"]) -> Peer:
        called_form, caller_form = fields.get("numbers", ("e164", "e164"))
        accept = tuple(dict.fromkeys(_values(fields, "accept")))
        auth = fields.get("auth")
        register = fields.get("register")
        servers = _values(fields, "address" if kind == "pbx" else "servers")
        return Peer(
            name=name,
            kind=kind,
            interface=fields.get("interface"),
            servers=servers,
            accept=() if accept == (ANY,) else accept,
            domain=fields.get("domain", register.host if register else None),
            called_from=fields.get("called_from", "ruri"),
            called_form=called_form,
            caller_form=caller_form,
            latching=fields.get("latching", "address"),
            media_from=tuple(dict.fromkeys(_values(fields, "media_from"))),
            transcode=fields.get("transcode", "auto"),
            no_reply=fields.get("no_reply", 4.0),
            no_progress=fields.get("no_progress", 20.0),
            no_answer=fields.get("no_answer", 180.0),
            accepts_any=accept == (ANY,),
            auth=None if auth is None else account(auth, self._vault, self._problems),
            registers=fields.get("registers", False),
            register=register,
            health=fields.get("health"),
            paths=self._paths(fields),
            when_full=fields.get("when_full", WhenFull()),
            cps=fields.get("cps"),
            limits=fields.get("limits"),
            caller_id=self._caller_id(fields),
            methods=allowed_methods(fields.get("methods", ())) if "methods" in fields.found else TALK_METHODS,
            events=allowed_events(fields.get("events", ())) if "events" in fields.found else EVENTS,
            transfer=fields.get("transfer", "terminate" if kind == "pbx" else "refuse"),
            redirect=fields.get("redirect", "follow" if kind == "pbx" else "refuse"),
            t38=fields.get("t38", "pass"),
            hold=fields.get("hold", "pass"),
            dtmf=fields.get("dtmf", "pass"),
            codecs=fields.get("codecs", CodecRules()),
            headers=fields.get("headers", HeaderRules()),
            session_timer=_session_timer(fields),
            early_media=fields.get("early_media", "pass"),
            delayed_offer=fields.get("delayed_offer", "pass"),
            reliable=fields.get("reliable", "offer"),
            transports=spoken(fields, servers),
            tls=peer_tls(fields, self._interfaces[fields.get("interface")].tls, self._vault, self._problems),
            srtp=fields.get("srtp", SrtpRules()),
            rate=fields.get("rate"),
            overload=fields.get("overload", "auto"),
            where=fields.where,
        )

    def _paths(self, fields: Fields) -> PathRules | None:
        """Those of a pool learn its total here."""
        rules: PathRules | None = fields.get("call_paths")
        if rules is None or rules.pool is None:
            return rules
        return msgspec.structs.replace(rules, total=self._pools.get(rules.pool))

    def _caller_id(self, fields: Fields) -> CallerId:
        written: Fields | None = fields.get("caller_id")
        return CallerId() if written is None else caller_id(written, self._plan)

    def route(self, position: int, fields: Fields) -> Route:
        via: tuple[Via, ...] = _values(fields, "via")
        return Route(
            name=fields.get("name", f"route-{position}"),
            from_peers=_values(fields, "from"),
            to=_values(fields, "to"),
            caller=_values(fields, "caller"),
            strip=fields.get("strip", 0),
            prepend=fields.get("prepend", ""),
            via=via,
            reject=fields.get("reject", 0),
            no_answer=fields.get("no_answer"),
            emergency=fields.get("emergency", False),
            disaster=disaster_steps(fields.get("disaster", ()), self._plan),
            limits=fields.get("limits"),
            continue_on=frozenset(_values(fields, "continue_on")),
            stop_on=frozenset(_values(fields, "stop_on")),
            where=fields.where,
        )


def _session_timer(fields: Fields) -> SessionTimerRules | None:
    written: SessionTimerRules | Literal["off"] = fields.get("session_timer", SessionTimerRules())
    return None if written == "off" else written


def _dids(pbx: str, fields: Fields, plan: NumberPlan, problems: Problems) -> list[DidRange]:
    """Numbers as E.164 where they have such a form, so that an owner is found however a carrier writes them."""
    ranges = []
    entries: Sequence[At] = fields.get("dids", ())
    for entry in entries:
        written: DidEntry = entry.value
        disaster = disaster_steps(written.disaster, plan)
        for at in written.numbers:
            first, last = (plan.read(text).best for text in at.value)
            if len(first) != len(last):
                problems.wrong(
                    at.where, f"the range {at.value[0]}-{at.value[1]} mixes kinds of numbers", "expected one kind"
                )
                continue
            ranges.append(DidRange(first, last, pbx, at.where, disaster))
    return ranges


def _values(fields: Fields, name: str) -> tuple[Any, ...]:
    return tuple(at.value for at in fields.get(name, ()))
