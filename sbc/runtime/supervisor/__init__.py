"""The supervisor, which is what `sbc run` is: it holds sockets, starts and restarts the others, and parses nothing."""
