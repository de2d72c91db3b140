"""The benchmark: `python -m bench`. Ratios against rivals in one run on one machine; what a packet, a byte and an edit cost.

It drives the real programs with BPF_PROG_TEST_RUN and must not know the tests. Open `cases/` first; README.md says how to
read the table and what the method cannot say.
"""
