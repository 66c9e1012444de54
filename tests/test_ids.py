"""Names of dialogs: what headers say, and what a name means on the other side of the border (S37)."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from b2bua.call.book import Book
from b2bua.call.ids import HANDLES, LIFE, Ids, Named
from b2bua.sip.dialogid import LONGEST, TAGS, DialogId, Reference, parse_reference
from b2bua.sip.grammar import Malformed
from b2bua.sip.tokens import Tokens
from tests.world import World


class References(SynchronousTestCase):
    """What Replaces, Join and Target-Dialog say."""

    def test_replaces(self) -> None:
        """RFC 3891 6.1: to-tag is the tag of the party that gets it; early-only stays."""
        value = "12adf2f34456gs5;to-tag=12345;from-tag=54321"
        reference = parse_reference(value, "Replaces")
        self.assertEqual(reference, Reference(DialogId("12adf2f34456gs5", "12345", "54321")))
        self.assertEqual(reference.written("Replaces"), value)
        early = parse_reference("87134@171.161.34.23 ;from-tag=1 ; To-Tag=24796;early-only", "Replaces")
        self.assertEqual(early.written("Replaces"), "87134@171.161.34.23;to-tag=24796;from-tag=1;early-only")
        self.assertFalse(parse_reference("1;to-tag=2;from-tag=3;early-only", "Join").early_only)

    def test_target_dialog(self) -> None:
        """RFC 4538 4: local-tag and remote-tag."""
        value = "fa77as7dad8-sd98ajzz@host.example.com;local-tag=6472;remote-tag=kkaz-"
        reference = parse_reference(value, "Target-Dialog")
        self.assertEqual(reference.dialog, DialogId("fa77as7dad8-sd98ajzz@host.example.com", "6472", "kkaz-"))
        self.assertEqual(reference.written("Target-Dialog"), value)

    def test_what_names_nothing(self) -> None:
        """A tag is missing, doubled or no word; the Call-ID is none, or too long to be kept."""
        for value in (
            "", "1", "1;to-tag=2", "1;from-tag=2",
            "1;to-tag=;from-tag=2", "1;to-tag;from-tag=2", ";to-tag=1;from-tag=2",
            "1 2;to-tag=1;from-tag=2", "1,2;to-tag=1;from-tag=2", "1;to-tag=1;to-tag=3;from-tag=2",
            "1;to-tag=a b;from-tag=2", '1;to-tag="a";from-tag=2', f"{'1' * (LONGEST + 1)};to-tag=1;from-tag=2",
        ):  # fmt: skip
            self.assertRaises(Malformed, parse_reference, value, "Replaces")

    @given(st.text('ab1@.;=<>" ,-totagfrm\r\n\x00\u00e9', max_size=60), st.sampled_from(sorted(TAGS)))
    def test_any_text(self, text: str, name: str) -> None:
        """Any text is a name that is read as it is written, or Malformed."""
        try:
            reference = parse_reference(text, name)
        except Malformed:
            return
        self.assertEqual(parse_reference(reference.written(name), name), reference)


class Names(SynchronousTestCase):
    """A call through the bridge, and what its names mean."""

    def setUp(self) -> None:
        self.world = World()
        near, far = self.world.call()
        self.ids = self.world.hall.ids
        self.alice = DialogId(near.call_id, near.local_tag, near.remote_tag)  # as alice sees the call
        self.bob = DialogId(far.call_id, far.local_tag, far.remote_tag)
        self.behind = turned(self.alice)  # what alice tells of bob
        self.legs = [self.world.journal.calls[0].near, self.world.journal.calls[0].far]

    def test_the_other_leg(self) -> None:
        """Who is near there is behind us here: the tags change places as they must."""
        self.assertEqual(self.ids.translate("public", "private", *self.behind), self.bob)
        self.assertEqual(self.ids.translate("public", "private", *self.alice), turned(self.bob))
        self.assertEqual(self.ids.translate("private", "public", *self.bob), self.behind)
        self.assertEqual(self.ids.known("private", "public", turned(self.bob)), self.alice)
        self.assertEqual(len(self.ids), 0)

    def test_whom_it_names(self) -> None:
        """The party whose own tag comes first, and our leg to it, from either side."""
        near, far = self.legs
        assert far is not None
        for zone, told, leg in (
            ("public", self.behind, far), ("public", self.alice, near),
            ("private", self.bob, far), ("private", turned(self.bob), near),
        ):  # fmt: skip
            named = self.ids.resolve(zone, told)
            assert named is not None
            self.assertIs(named.leg, leg)
            self.assertEqual(named.dialog, self.bob if leg is far else self.alice)
            assert leg is not None
            self.assertEqual(named.zone, leg.listener.zone)

    def test_only_in_its_zone(self) -> None:
        """S37: the right ids from the wrong side name nothing."""
        self.assertIsNone(self.ids.resolve("private", self.behind))
        self.assertIsNone(self.ids.resolve("public", self.bob))
        self.assertIsNone(self.ids.known("public", "private", self.bob))
        self.assertIsNone(self.ids.resolve("public", self.alice._replace(local_tag="x")))

    def test_what_is_not_ours(self) -> None:
        """An unknown dialog gets a handle: the same each time, of random words, good for one zone and back."""
        told = DialogId("1@pbx.example", "a", "b")
        handle = self.ids.translate("public", "private", *told)
        assert handle is not None
        self.assertEqual(handle, self.ids.translate("public", "private", *told))
        self.assertNotEqual(handle, self.ids.translate("public", "carrier", *told))
        for word in handle:
            self.assertRegex(word, "^[0-9a-f]{20}$")
        self.assertEqual(self.ids.resolve("private", handle), Named("public", told, None))
        self.assertEqual(self.ids.resolve("private", turned(handle)), Named("public", turned(told), None))
        self.assertEqual(self.ids.translate("private", "public", *handle), told)
        self.assertEqual(self.ids.known("private", "public", turned(handle)), turned(told))
        self.assertIsNone(self.ids.resolve("public", handle))
        self.assertIsNone(self.ids.resolve("carrier", handle))
        self.assertIsNone(self.ids.resolve("private", handle._replace(local_tag="x")))
        self.assertIsNone(self.ids.known("private", "carrier", handle))

    def test_a_handle_goes_on(self) -> None:
        """A name told on to a third zone is a handle of its own for the same dialog."""
        told = DialogId("1@pbx.example", "a", "b")
        handle = self.ids.translate("public", "private", *told)
        assert handle is not None
        further = self.ids.translate("private", "carrier", *handle)
        assert further is not None and further != handle
        self.assertEqual(self.ids.resolve("carrier", further), Named("public", told, None))

    def test_a_handle_for_a_leg_that_is_elsewhere(self) -> None:
        """A call that has no leg where it is told of; and the handle ends with the call."""
        handle = self.ids.translate("public", "carrier", *self.behind)
        assert handle is not None
        named = self.ids.resolve("carrier", handle)
        assert named is not None
        self.assertEqual((named.zone, named.dialog, named.leg), ("private", self.bob, self.legs[1]))
        self.assertEqual(self.ids.known("carrier", "private", handle), self.bob)
        self.world.alice.talk.bye()
        self.world.bob.says(200)
        self.world.quiet()
        self.assertIsNone(self.ids.resolve("carrier", handle))

    def test_no_name(self) -> None:
        """An empty part names nothing."""
        self.assertIsNone(self.ids.translate("public", "private", "1", "", "b"))

    def test_a_call_id_alone(self) -> None:
        """In-Reply-To (RFC 3261 20.21): the other leg's, a handle's original, or nothing."""
        self.assertEqual(self.ids.call_id("public", "private", self.alice.call_id), self.bob.call_id)
        self.assertEqual(self.ids.call_id("private", "public", self.alice.call_id), "")
        self.assertEqual(self.ids.call_id("public", "private", "x"), "")
        handle = self.ids.translate("public", "private", "1@pbx.example", "a", "b")
        assert handle is not None
        self.assertEqual(self.ids.call_id("private", "public", handle.call_id), "1@pbx.example")
        self.assertEqual(self.ids.call_id("public", "private", handle.call_id), "")
        self.world.alice.talk.bye()
        self.world.bob.says(200)
        self.world.quiet()
        self.assertEqual(self.ids.call_id("public", "private", self.alice.call_id), "")


class Bounds(SynchronousTestCase):
    """Handles do not grow without end."""

    def setUp(self) -> None:
        self.now = 0.0
        self.ids = Ids(Book(), Tokens(Random(1).randbytes), lambda: self.now)

    def handle(self, number: int, zone: str = "public") -> DialogId:
        """A handle for a dialog of nobody's."""
        handle = self.ids.translate(zone, "private", str(number), "a", "b")
        assert handle is not None
        return handle

    def test_in_number(self) -> None:
        """The one that was not used for longest goes; another zone's are not touched."""
        other, first, second = self.handle(0, "carrier"), self.handle(1), self.handle(2)
        for number in range(3, HANDLES + 1):
            self.handle(number)
        self.assertIsNotNone(self.ids.resolve("private", first))  # it is used
        self.handle(HANDLES + 1)
        self.assertIsNone(self.ids.resolve("private", second))
        self.assertIsNotNone(self.ids.resolve("private", first))
        self.assertIsNotNone(self.ids.resolve("private", other))
        self.assertEqual(len(self.ids), HANDLES + 1)

    def test_in_life(self) -> None:
        """What was not used for long is forgotten when the next one is made."""
        first = self.handle(1)
        self.now = LIFE + 1
        self.handle(2)
        self.assertEqual(len(self.ids), 1)
        self.assertIsNone(self.ids.resolve("private", first))


def turned(dialog: DialogId) -> DialogId:
    """The same dialog as the other party sees it."""
    return DialogId(dialog.call_id, dialog.remote_tag, dialog.local_tag)
