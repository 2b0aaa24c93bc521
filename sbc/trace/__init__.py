"""What happened in a call, or with a peer beside calls: `recorder` and `peer_tapes` keep, `ladder` shows.

Sans-IO; the engine alone writes.
"""
