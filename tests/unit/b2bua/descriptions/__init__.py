"""The sides of a call: what they are told and say."""
