"""Coverage-guided fuzzing, and the generators of anomalies and sequences that the flow tests send.

`targets/` has one small file for each reader of what comes from outside; `corpus/` what has reached new code before,
`crashes/` what has broken something. docs/howto/fuzzing.md says how it is run.
"""
