"""b2bua: a SIP border element. It takes a call in on one interface and carries it out on another, as two legs.

The rooms, ground floor first. Each imports only from those above it in this list; `ops` alone looks at everything:

- `sip`          what is on the wire: grammar, URI, Via, the table of headers, messages, framing. Values; no state.
- `transaction`  one request and its answers: four machines as tables, timers, matching. Pure: input in, actions out.
- `dialog`       one side of a call: the leg, which alone builds our messages.
- `policy`       decisions as pure functions: what may cross, the rules of routing, the choice of the interface.
- `store`        what must outlive the process: rows in memory or in a file, behind one small interface.
- `call`         the hall: calls, the two legs of each and what passes between them.
- `net`          the only sockets and the only clock: transports, connections, resolver, kernel routes, switchboard.
- `media`        what carries media: the built-in relay, rtpengine.
- `config`       the TOML file as frozen values, or every mistake in it at once.
- `ops`          for operators: manhole, log, command line, demonstration.
- `service`      puts the rooms together for twistd.

One INVITE, in and out:

1. `net.transports.udp` has a datagram; `Switchboard.received` parses it once (`sip.message.parse`), and
   `sip.check.check_request` looks whether it breaks a rule.
2. `Switchboard._new` makes its server transaction, answers the INVITE with 100 at once, and gives it to `Hall.request`.
   Where its zone asks for a password, `call.proving` lets it in only with one.
3. `Hall._begin` makes the near leg (`Leg.of_request`) and a `Call` with its `Setup`; `Hall._decide` asks the script,
   `Hall._decided` the rules (`policy.routing.decide`), where to; `Hall._go` puts the members of groups in their place.
4. The setup is a `Hunt`: it makes a `Branch` for each target, one after the other or all at once, and its `Addresses`
   find the target's address (`Switchboard.locate`, RFC 3263), then the listener that reaches it
   (`policy.interface.Interfaces.choose`).
5. `Branch.attempt` makes the far leg (`Hall.far_leg`), asks what may cross (`Hall.across`: of the headers by the hiding
   table, of the body by its kind in `policy.bodies`), and the leg builds its own INVITE (`Leg.request`): fresh
   Call-ID, tag, CSeq, Contact.
6. `Switchboard.send` writes the Via, opens the client transaction and puts the bytes on the wire.

The answer comes the same way: `Switchboard._response`, the client machine's PASS in `Switchboard._perform`,
`Invitation.answered`; a 1xx goes on by `Invitation.relay`, a 2xx by `Invitation._accept`, and in both the near leg
builds its own response (`Hall.crossed`, `Leg.response`).

Where trunks ask who we are, `call.credentials.Bearer` stands between the hall and the switchboard: it puts our
credentials on what `Switchboard.send` is asked to send, and answers 401 and 407. `call.enrolment` registers us with
carriers, as the table in `policy.enrolling` says.

The idea that everything stands on: a message that leaves is built by its leg and granted headers by the table; it is
never a copy that is scrubbed. A header nobody thought of does not leak; it is not there.

An action of a machine is a word in its table, and `Switchboard._perform` is the one function that acts on these words.
What the hall wants of the world it asks through the verbs of `call.wire.Wire`, which the switchboard has: a test gives
it fake sockets and a clock that it turns by hand.
"""
