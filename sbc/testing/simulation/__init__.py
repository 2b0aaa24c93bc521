"""The whole SBC in virtual time, driven by one seeded generator, against invariants. `sbc simulate` runs it.

`scene` has who takes part, `traffic` what they do, `faults` what goes wrong, `invariants` and `wire` what must hold,
`story` what a failure tells, `planted` bugs that the invariants must find.
"""
