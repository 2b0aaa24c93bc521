"""Recordings: everything that an engine takes from outside, and what it ordered, kept so that it can be run again.

`frames` are the values of a recording, `policies` writes and reads a policy, `files` is how they lie in a folder;
`engine` is the switch that tells what it does, `writer` the thread that keeps it, `replaying` runs it again. A
recording replays because the engine does no I/O: the same policy, events, times and draws give the same commands.
"""
