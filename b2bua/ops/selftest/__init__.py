"""The race laboratory: a library of ladders, played by phones through a bridge, over wires that lose and reorder.

One file in `scenarios/` is one scenario, written as its RFC would draw it:

    # RFC 3665 3.8: the caller gives up while it rings (S26)

    alice -> INVITE bob
    bob   <- INVITE
    bob   -> 180 INVITE
    alice <- 180 INVITE
    alice -> CANCEL
    alice <- 200 CANCEL
    ...

Every line happens in its turn: `->` is what a phone sends, `<-` what must be the next that reaches it. What comes to
different phones is compared with nothing, so that a ladder says no more of order than its RFC does. A retransmission
is the same message and needs no line, neither does a 100. The format in full is in b2bua-selftest(7).

- `scenario`  reads a file into values
- `actor`     the phone that does what a line says, and no more than SIP makes it do
- `wires`     what becomes of its messages on the way
- `play`      the interpreter; `stage` is what it plays on: a world of the tests, or real sockets (`sockets`)
- `verdict`   what must be true of every scenario: nothing leaks, everything is grammatical, every 2xx has its ACK
- `library`   all scenarios
- `run`       `b2bua selftest`: plays them, prints the table, and the ladder of whatever fails
"""
