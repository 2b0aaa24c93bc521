"""The test kit: the whole SBC in memory and in virtual time, for its own tests and for anybody's policy.

`world` is the SBC with its network, media worker and records; `phone` its peers, with moves that read like a story;
`net` what lies between them, as bad as you like. All verbs of a phone stand at the head of `phone`, and it judges
what it hears. It can challenge (`challenger`), register (`binding`), be a registrar (`registrar`), die and come back.
Its knowledge of SIP is `agent` and the parts that this names. For one machine: `timeline`, `play`, `build`; for real
sockets: `rtp`; for what no phone would say: `byhand`.
A story, complete:

    from sbc.testing.world import DID, World

    sbc = World()                       # or World(Path("policies/office")), or World("yaml text")
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(DID)
    office.rings()
    with sbc.net.holding(office.agent): # the 200 is in flight …
        office.answers()
        carrier.cancels()               # … when the CANCEL arrives
    assert carrier.got(180, 487) and office.got("ACK", "BYE")
    assert sbc.cdr.only.cause == "cancelled"
    assert sbc.idle()                   # nothing alive, nobody complained, nothing leaked
    print(sbc.story())                  # ladders of both legs

It imports nothing that does I/O; a day of calls takes seconds, and the same seed tells the same story.
"""
