"""The soak: many processes, for many minutes, with cuts; and what they hold must not grow.

`python -m bench.soak --minutes 20` (make soak).  What it does and how it judges stands in docs/testing.md, "Soak".

    __main__     runs it: starts the processes, has them rest, writes down what they hold, and judges
    ends         a process: what it is told, and what it says
    actor        what every process has    servers clients outsiders    their roles
    course       what a link does          census   what a process holds
    slopes       least squares, and the verdict    picture   the plot
"""
