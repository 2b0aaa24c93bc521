"""What makes a message belong to a transaction: equality of keys is matching (RFC 3261 §17.1.3, §17.2.3).

ACK and INVITE have the same key, so that an ACK for a failure finds its INVITE. Peers of RFC 2543 have no branch
with the magic cookie; their key is made of what that RFC compared.
"""

from sbc.core.ids import MAGIC_COOKIE
from sbc.sip.message import Request, Response

ServerKey = tuple[str, ...]
ClientKey = tuple[str, str]
MergeKey = tuple[str, str, int, str]


def server_key(request: Request, method: str | None = None) -> ServerKey:
    """Key of the server transaction that `request` belongs to; `method` INVITE finds what a CANCEL is about."""
    method = method or request.method
    if method == "ACK":
        method = "INVITE"
    via = request.via
    branch = via.branch
    if branch is not None and len(branch) > len(MAGIC_COOKIE) and branch.startswith(MAGIC_COOKIE):
        # Deviation: §17.2.3 compares branch, sent-by and method alone. The Call-ID is compared as well: peers that use
        # a branch twice within 32 s exist (so do RFC 4475 §3.3.2 and §3.3.3), and would get another request's answer.
        return (branch, f"{via.host}:{via.port or ''}", request.call_id, method)
    # RFC 2543 peers, and a branch that is nothing but the cookie (RFC 4475 §3.2.1): §17.2.3, second list.
    # The To tag is left out: an ACK carries the one that we chose, its INVITE has none.
    return (
        request.uri_text,
        request.from_.tag or "",
        request.call_id,
        str(request.cseq.number),
        f"{via.transport} {via.host}:{via.port or ''} {branch or ''}",
        method,
    )


def client_key(response: Response) -> ClientKey:
    """§17.1.3: the branch of the top Via, and the method of CSeq because a CANCEL has its INVITE's branch."""
    return (response.via.branch or "", response.cseq.method)


def merge_key(request: Request) -> MergeKey:
    """§8.2.2.2: two requests with this in common and different branches have come by two ways."""
    return (request.call_id, request.from_.tag or "", request.cseq.number, request.method)
