"""What a strict peer would complain about in session descriptions: RFC 3264 §5 to §8, RFC 6337 §2, RFC 8866 §5.2.

Functions of values that return sentences; `offers` keeps what they compare with.
"""

from sbc.sdp import Session, direction_of, same_except_origin
from sbc.sdp.codecs import STATIC
from sbc.sdp.model import Media, attribute_values


def complaints_about_sdp(before: Session | None, after: Session, *, may_skip: bool = False) -> list[str]:
    """ "If the version in the origin line does not increment, the SDP MUST be identical", RFC 3264 §8.

    `may_skip`: other descriptions may have been said in between.
    """
    if before is None:
        return []
    old, new = before.origin.split(), after.origin.split()
    if (old[0], old[1]) != (new[0], new[1]):
        return [f"o= changed its session: {before.origin} then {after.origin}"]
    steps = int(new[2]) - int(old[2])
    wanted = 0 if same_except_origin(before, after) else 1
    if steps == wanted or (may_skip and steps > 0):
        return []
    if steps < 0:
        return [f"o= version went back: {before.origin} then {after.origin}"]
    if wanted and not steps:
        return [f"o= version stayed, the text did not: {before.origin} then {after.origin}"]
    return [f"o= version went up by {steps}, not {wanted}: {before.origin} then {after.origin}"]


def complaints_about_answer(offer: Session, answer: Session) -> list[str]:
    """RFC 3264 §6: as many m= lines, each of the same kind, nothing taken that was not offered."""
    if len(answer.media) != len(offer.media):
        return [f"answer with {len(answer.media)} m= lines to an offer with {len(offer.media)}"]
    found = []
    for n, (offered, answered) in enumerate(zip(offer.media, answer.media, strict=True)):
        if offered.kind != answered.kind:
            found.append(f"m= line {n}: {answered.kind} answers {offered.kind}")
        elif offered.proto != answered.proto:
            found.append(f"m= line {n}: {answered.proto} answers {offered.proto}")
        elif answered.port and not offered.port:
            found.append(f"m= line {n}: the answer takes a stream that was offered with port 0")
        elif answered.port:
            found += [f"m= line {n}: {text}" for text in _about_stream(offer, offered, answer, answered)]
    return found


def complaints_about_offer(before: Session | None, offer: Session) -> list[str]:
    """ "The new SDP MUST have at least N m= lines", RFC 3264 §8."""
    if before is not None and len(offer.media) < len(before.media):
        return [f"offer with {len(offer.media)} m= lines after {len(before.media)}"]
    return []


def complaints_about_meanings(meanings: dict[tuple[int, str, str], str], session: Session) -> list[str]:
    """ "The mapping from a particular dynamic payload type number to a particular codec … MUST NOT change", §8.3.2."""
    found = []
    for n, media in enumerate(session.media):
        if not media.is_rtp or not media.port:
            continue
        for value in attribute_values(media.lines, "rtpmap"):
            number, _, encoding = value.partition(" ")
            encoding = encoding.strip().lower().removesuffix("/1")
            known = meanings.setdefault((n, media.kind, number), encoding)
            if known != encoding:
                found.append(f"m= line {n}: payload type {number} was {known} and is {encoding}")
    return found


def _about_stream(offer: Session, offered: Media, answer: Session, answered: Media) -> list[str]:
    found = []
    theirs, ours = direction_of(answer, answered), direction_of(offer, offered)
    if (theirs.sends and not ours.receives) or (theirs.receives and not ours.sends):
        found.append(f"{theirs} answers {ours}")
    if offered.is_rtp and not _names(offered) & _names(answered):
        found.append(f"no codec in common: {' '.join(offered.formats)} and {' '.join(answered.formats)}")
    return found


def _names(media: Media) -> set[str]:
    mapped = dict(STATIC)
    for value in attribute_values(media.lines, "rtpmap"):
        number, _, encoding = value.partition(" ")
        mapped[number] = encoding.strip()
    return {mapped.get(number, number).lower().removesuffix("/1") for number in media.formats}
