"""The sides of a call: what they are told and say."""
# RFC: 3264
