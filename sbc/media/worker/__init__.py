"""The media worker: another program, which relays packets and knows sessions, but neither calls nor SIP."""
