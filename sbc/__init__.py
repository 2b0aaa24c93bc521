"""A session border controller: SIP back-to-back user agent, media relay, policy, accounting."""

__version__ = "0.1.0"
