"""The benchmark: `python -m bench`. What a packet, a byte and an edit cost, with ratios to rivals in the same run.

It drives the real programs with BPF_PROG_TEST_RUN and must not know the tests. Open `cases/` first; README.md says how
to read the table and what the method cannot say.
"""
