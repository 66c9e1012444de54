"""S47, S48: the one protocol of TCP and TLS, on a transport in memory and a clock."""

from __future__ import annotations

from b2bua.dialog.reply import reply
from b2bua.net import connections
from b2bua.net.connections import SWEEP
from b2bua.net.transports.stream import (
    CONNECT_TIMEOUT,
    FIRST_MESSAGE,
    IDLE,
    MAX_KEEP,
    MAX_QUEUE,
    PONG_TIME,
    WHOLE_MESSAGE,
    Stream,
)
from b2bua.sip.listener import Flow
from b2bua.sip.message import Request, Response, parse
from tests.wires import PEER, TCP, TLS, Conductor, Switching, joined, request

OPTIONS = bytes(request("OPTIONS"))


class TestKeepAlive(Switching):
    """S48, RFC 5626 4.4.1."""

    def test_pong(self) -> None:
        """A double CRLF is answered with a single one, in whatever pieces it comes; a single one is not answered."""
        stream, conductor = self.board.accept()
        for pieces, pong in (
            ([b"\r\n\r\n"], b"\r\n"),
            ([b"\r\n", b"\r\n"], b"\r\n"),
            ([b"\r", b"\n\r", b"\n"], b"\r\n"),
            ([b"\r\n\r\n\r\n\r\n"], b"\r\n\r\n"),
            ([b"\r\n", OPTIONS, b"\r\n", OPTIONS], b""),
        ):
            for piece in pieces:
                stream.dataReceived(piece)
            self.assertEqual(conductor.take(), pong, pieces)
        self.assertEqual(len(self.core.requests), 1)  # the second is the first again
        self.board.wait(100)
        self.assertTrue(conductor.connected)


class TestKeepingAlive(Switching):
    """S48, RFC 6223: pings from us, to who said that it answers them."""

    def kept(self, keep: str) -> tuple[Stream, Conductor]:
        """A connection of ours, after an answer whose Via says `keep` of keep-alives."""
        self.switchboard.send(request("OPTIONS", more={"Via": []}), Flow(TCP, PEER, 5060), None)
        stream, conductor = self.board.connected()
        sent = parse(conductor.take())
        assert isinstance(sent, Request)
        self.assertTrue(sent.first("Via").endswith(";keep"))
        headers = {**sent.headers, "Via": [sent.first("Via") + keep], "To": ["<sip:bob@example.com>;tag=b1"]}
        stream.dataReceived(bytes(Response(200, "OK", headers)))
        return stream, conductor

    def test_ping(self) -> None:
        """Where the answer asks for one every 30 s there is one, a little sooner; a pong keeps the flow."""
        stream, conductor = self.kept("=30")
        for _ in range(3):
            self.board.wait(25)
            self.assertEqual(conductor.take(), b"\r\n\r\n")
            stream.dataReceived(b"\r\n")
        self.assertTrue(conductor.connected)

    def test_no_pong(self) -> None:
        """No pong in 10 s: the flow has failed."""
        stream, conductor = self.kept("=30")
        self.board.wait(24.1 + PONG_TIME)
        self.assertFalse(stream.alive)
        self.board.wait(100)

    def test_not_wanted(self) -> None:
        """Who does not say that it answers pings is not pinged."""
        for keep in ("", "=", "=x", "=99999999"):
            stream, conductor = self.kept(keep)
            self.board.wait(800)
            self.assertEqual(conductor.take(), b"")
            self.assertTrue(stream.alive)
            stream.connectionLost()

    def test_offered(self) -> None:
        """A peer that offers keep-alives on its connection is told how often we want them."""
        stream, conductor = self.board.accept()
        stream.dataReceived(bytes(request("OPTIONS", more={"Via": ["SIP/2.0/TCP 198.51.100.7;branch=z9hG4bKk1;keep"]})))
        self.switchboard.respond(self.core.requests[0], reply(self.core.requests[0].request, 200, "t"))
        self.assertIn(b";keep=120", conductor.take())
        self.board.wait(800)
        self.assertTrue(conductor.connected)

    def test_seldom(self) -> None:
        """What a peer asks for is bounded, however long it is."""
        stream, _ = self.board.accept()
        stream.keep_alive(10**30)
        self.assertEqual(stream._keep, MAX_KEEP)


class TestDeadlines(Switching):
    """S47: nobody holds a connection with half a message."""

    def test_half_a_message(self) -> None:
        """It has 32 s from its first octet to its last, also where it comes octet by octet."""
        stream, conductor = self.board.accept()
        for at in range(16):
            stream.dataReceived(OPTIONS[at : at + 1])
            self.board.wait(WHOLE_MESSAGE / 16 - 0.01)
        self.assertTrue(conductor.connected)
        self.assertLessEqual(len(self.switchboard.wheel), 1)
        self.board.wait(1)
        self.assertFalse(conductor.connected)
        self.assertFalse(stream.alive)

    def test_half_a_message_after_a_whole_one(self) -> None:
        """The same where its beginning came together with the end of another."""
        stream, conductor = self.board.accept()
        stream.dataReceived(OPTIONS + OPTIONS[:50])
        self.board.wait(WHOLE_MESSAGE + 1)
        self.assertFalse(conductor.connected)

    def test_whole_messages(self) -> None:
        """Slow but whole messages are no matter, nor is silence."""
        stream, conductor = self.board.accept()
        for _ in range(4):
            stream.dataReceived(OPTIONS[:50])
            self.board.wait(20)
            stream.dataReceived(OPTIONS[50:])
            self.board.wait(20)
        self.board.wait(800)
        self.assertTrue(conductor.connected)

    def test_handshake(self) -> None:
        """A TLS client that never finishes its handshake is let go; of TCP none is expected."""
        _, silent = self.board.accept(TLS)
        stream, prompt = self.board.accept(TLS, port=40001)
        stream._since += 1  # as handshakeCompleted does
        _, plain = self.board.accept(TCP, port=40002)
        self.board.wait(WHOLE_MESSAGE + 1)
        self.assertEqual([each.connected for each in (silent, prompt, plain)], [False, True, True])


class TestIdle(Switching):
    """No stream stays that is of no use."""

    def test_nothing_came(self) -> None:
        """A connection that never brings a whole message is closed, pings or not."""
        stream, conductor = self.board.accept()
        for _ in range(8):
            stream.dataReceived(b"\r\n\r\n")
            self.board.wait(FIRST_MESSAGE / 8)
        self.assertTrue(conductor.connected)
        self.board.wait(2 * SWEEP)
        self.assertFalse(conductor.connected)

    def test_silence(self) -> None:
        """What brought messages may be silent for long, but not for ever; then nothing is left."""
        stream, conductor = self.board.accept()
        stream.dataReceived(OPTIONS)
        self.board.wait(IDLE - SWEEP)
        self.assertTrue(conductor.connected)
        stream.dataReceived(b"\r\n\r\n")
        self.board.wait(IDLE - SWEEP)
        self.assertTrue(conductor.connected)
        self.board.wait(3 * SWEEP)
        self.assertFalse(conductor.connected)
        self.assertEqual(self.board.clock.getDelayedCalls(), [])

    def test_one_of_ours(self) -> None:
        """The same of ours; a request that waits for its answer keeps it."""
        self.switchboard.send(request("OPTIONS", more={"Via": []}), Flow(TCP, PEER, 5060), None)
        stream, conductor = self.board.connected()
        (waiting,) = stream.clients
        self.board.wait(40)
        stream.clients.add(waiting)
        self.board.wait(2 * IDLE)
        self.assertTrue(stream.alive)
        stream.clients.clear()
        self.board.wait(2 * SWEEP)
        self.assertFalse(stream.alive)
        self.assertFalse(conductor.connected)

    def test_closing(self) -> None:
        """A stream that does not come to close is given up, and meanwhile nothing new goes by it."""
        self.switchboard.send(request("OPTIONS"), Flow(TCP, PEER, 5060), None)
        stream, conductor = self.board.connected()
        conductor.loseConnection = lambda: None
        stream.close()
        stream.close()
        self.assertFalse(stream.alive)
        self.assertFalse(stream._gone)
        self.board.wait(WHOLE_MESSAGE + 2 * SWEEP)
        self.assertTrue(stream._gone)

    def test_given_up_while_connecting(self) -> None:
        """A connection that comes to stand after its stream was given up is closed."""
        self.switchboard.send(request("OPTIONS"), Flow(TCP, PEER, 5060), self.user)
        self.board.clock.tcpClients[-1][2]._stream.abort("not wanted")
        stream, conductor = self.board.connected()
        self.assertFalse(conductor.connected)
        self.assertEqual(conductor.take(), b"")

    def test_handshake_of_ours(self) -> None:
        """A TLS server that never finishes its handshake is given up in time for another target."""
        stream = Stream(Flow(TLS, PEER, 5061), self.switchboard, True)
        conductor = joined(stream, PEER, 5061)
        self.board.wait(CONNECT_TIMEOUT + 0.1)
        self.assertFalse(conductor.connected)


class TestLimits(Switching):
    """So many streams and no more, each way."""

    def test_outwards(self) -> None:
        """Where there are too many of ours to one host, a request fails as if it could not be reached."""
        self.patch(connections, "MAX_STREAMS_OF_ONE", 2)
        for port in (5060, 5062, 5064):
            self.send(flow=Flow(TCP, PEER, port))
        self.assertEqual(len(self.board.clock.tcpClients), 2)
        self.assertEqual(self.user.told, [])
        self.board.wait(0.1)
        self.assertEqual(self.user.told, [("unanswered", 503)])
        self.board.accept(host=PEER)  # is counted for itself
        for number in range(2):
            self.board.connected(number)[0].abort("enough")
        self.send(flow=Flow(TCP, PEER, 5066))
        self.assertEqual(len(self.board.clock.tcpClients), 3)

    def test_inwards(self) -> None:
        """The same of those that peers make."""
        self.patch(connections, "MAX_STREAMS", 2)
        first, _ = self.board.accept(host="198.51.100.1")
        self.board.accept(host="198.51.100.2")
        assert self.switchboard.connections is not None
        self.assertIsNone(self.switchboard.connections.accept(TCP, "198.51.100.3", 1))
        first.abort("enough")
        self.board.accept(host="198.51.100.3")


class TestFaults(Switching):
    """S47: a stream that cannot be followed is closed, once what was written is sent."""

    def test_said_once(self) -> None:
        """What was whole is served; the fault is told once; what comes later is not looked at."""
        stream, conductor = self.board.accept()
        conductor.loseConnection = lambda: None  # as long as something is still to be sent
        stream.dataReceived(OPTIONS + b"X\r\n\r\n")
        stream.dataReceived(OPTIONS + b"X\r\n\r\n")
        self.assertEqual(len(self.core.requests), 1)
        self.assertEqual([what for what, _ in self.board.journal.faults], ["a stream"])


class TestQueues(Switching):
    """S47: what a peer does not read is bounded."""

    def test_before_it_stands(self) -> None:
        """What is written waits, in its order, up to a limit."""
        stream = Stream(Flow(TCP, PEER, 5060), self.switchboard, True)
        stream.write(b"a")
        stream.write(b"b")
        self.assertTrue(stream.alive)
        stream.write(b"x" * MAX_QUEUE)
        self.assertFalse(stream.alive)
        stream.write(b"c")  # no harm
        stream.close()
        self.switchboard.send(request("OPTIONS"), Flow(TCP, PEER, 5060), None)
        _, conductor = self.board.connected()
        self.assertTrue(conductor.take().startswith(b"OPTIONS "))

    def test_peer_that_does_not_read(self) -> None:
        """Counted from when it stops reading; forgotten when it reads again."""
        stream, conductor = self.board.accept()
        for _ in range(3):
            stream.pauseProducing()
            stream.write(b"x" * (MAX_QUEUE - 1))
            stream.resumeProducing()
            stream.write(b"x" * (MAX_QUEUE - 1))
        self.assertTrue(conductor.connected)
        stream.pauseProducing()
        for _ in range(3):
            stream.write(b"x" * (MAX_QUEUE // 2))
        self.assertFalse(conductor.connected)
        self.assertFalse(stream.alive)

    def test_stop(self) -> None:
        """A transport that takes no more is like a peer that does not read."""
        stream, conductor = self.board.accept()
        stream.stopProducing()
        stream.write(b"x" * (MAX_QUEUE + 1))
        self.assertFalse(conductor.connected)

    def test_closing_before_it_stands(self) -> None:
        """There is nothing to close but what waited on it."""
        stream = Stream(Flow(TCP, PEER, 5060), self.switchboard, True)
        stream.write(b"a")
        stream.close()
        self.assertFalse(stream.alive)
