"""What a call costs: b2bua under load, beside Kamailio topos + redis in the same run.

`python -m benchmarks` plays the standard call with SIPp through both servers and prints CPU per call, lost calls at
the highest rate asked of one core, memory of held calls and added delay. `python -m benchmarks.rooms` times single
steps (parse, serialise, ...) without a network. benchmarks/README.md says how to read the figures.

    processes.py    start a program on a core, what it has cost, end it by pid; which ports are bound
    packages.py     the Debian programs that are needed, and their installation
    variants.py     the four ways through a server: a UDP to UDP, b UDP to TCP, c UDP to TLS, d IPv6 to IPv4
    servers.py      how b2bua and Kamailio are started for a variant
    sipp.py         caller and callee, and what they counted
    capture.py      what passed over the loopback device, and when
    measure.py      one function per figure: processor, highest rate, memory, delay
    report.py       tables, verdicts, JSON
    rooms.py        counts per second of single steps
"""
