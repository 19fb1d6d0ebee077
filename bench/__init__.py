"""netstructer measured beside what a user would pick instead, in one interleaved run.

    python -m bench --smoke      every workload at a tiny size, under a minute: does it still run
    python -m bench --short      a few minutes: where do we stand
    python -m bench --full       the figures of docs/performance.md

Law: figures of two runs are never compared.  In each round each peer has its turn (A B C, A B C, ...), in a fresh
server process and a fresh client process; what is shown is the median of the rounds with the smallest and the largest,
and the ratio to `ssl+pickle` of the same run.
"""
