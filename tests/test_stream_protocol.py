"""S47, S48: the one protocol of TCP and TLS, on a transport in memory and a clock."""

from __future__ import annotations

from b2bua.dialog.reply import reply
from b2bua.net.transports.stream import MAX_QUEUE, PONG_TIME, WHOLE_MESSAGE, Stream
from b2bua.sip.listener import Flow
from b2bua.sip.message import Request, Response, parse
from tests.wires import PEER, TCP, TLS, Conductor, Switching, request

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
            self.board.wait(1000)
            self.assertEqual(conductor.take(), b"")
            self.assertTrue(stream.alive)
            stream.connectionLost()

    def test_offered(self) -> None:
        """A peer that offers keep-alives on its connection is told how often we want them."""
        stream, conductor = self.board.accept()
        stream.dataReceived(bytes(request("OPTIONS", more={"Via": ["SIP/2.0/TCP 198.51.100.7;branch=z9hG4bKk1;keep"]})))
        self.switchboard.respond(self.core.requests[0], reply(self.core.requests[0].request, 200, "t"))
        self.assertIn(b";keep=120;received=198.51.100.7\r\n", conductor.take())
        self.board.wait(1000)
        self.assertTrue(conductor.connected)


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
        self.board.wait(1000)
        self.assertTrue(conductor.connected)

    def test_handshake(self) -> None:
        """A TLS client that never finishes its handshake is let go; of TCP none is expected."""
        _, silent = self.board.accept(TLS)
        stream, prompt = self.board.accept(TLS, port=40001)
        stream._since += 1  # as handshakeCompleted does
        _, plain = self.board.accept(TCP, port=40002)
        self.board.wait(WHOLE_MESSAGE + 1)
        self.assertEqual([each.connected for each in (silent, prompt, plain)], [False, True, True])


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
