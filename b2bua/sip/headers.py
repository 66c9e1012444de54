"""Every SIP header in one table: its name, its compact form, whether it lists, and what becomes of it at the border.

One row is one fact in one place: the parser reads names here, the hiding reads verdicts here, and the manual's table is
printed from here. A header without a row does not cross (S35).
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Verdict(Enum):
    """What becomes of a header that the far side sent."""

    OURS = "ours"  # the leg writes its own, or none
    KEEP = "keep"  # crosses as it is
    DROP = "drop"  # does not cross
    MASK = "mask"  # crosses without what tells of the far side, the leg's own in its place
    MAP = "map"  # names a dialog or an address of the other leg: crosses with what that is called on this one
    INTERSECT = "intersect"  # what the peer offers and we bridge
    TRUSTED = "trusted"  # crosses only from a trusted zone to a trusted zone


class Row(NamedTuple):
    """One header's facts. `many`: one value may be a list with commas (RFC 3261 7.3.1)."""

    name: str
    compact: str
    many: bool
    verdict: Verdict
    why: str


OURS, KEEP, DROP, MASK, MAP, INTERSECT, TRUSTED = Verdict

# All that IANA has registered, in the order of the alphabet.
TABLE: tuple[Row, ...] = (
    Row("Accept", "", True, KEEP, "media types"),
    Row("Accept-Contact", "a", True, KEEP, "what kind of answering device is wished"),
    Row("Accept-Encoding", "", True, KEEP, "encodings of a body"),
    Row("Accept-Language", "", True, KEEP, "languages"),
    Row("Accept-Resource-Priority", "", True, TRUSTED, "priority is granted within a trust domain (RFC 4412)"),
    Row("Additional-Identity", "", False, TRUSTED, "an asserted identity (3GPP)"),
    Row("Alert-Info", "", True, MASK, "a sound by its name crosses (RFC 7462); a URL shows where it is served"),
    Row("AlertMsg-Error", "", False, DROP, "the far side's own words on an alert"),
    Row("Allow", "", True, INTERSECT, "only the methods that are bridged"),
    Row("Allow-Events", "u", True, KEEP, "event packages"),
    Row("Answer-Mode", "", False, KEEP, "automatic or manual answer"),
    Row("Attestation-Info", "", False, TRUSTED, "what an originating network attests (3GPP)"),
    Row("Authentication-Info", "", False, KEEP, "the end of a digest exchange between the two ends"),
    Row("Authorization", "", False, KEEP, "credentials for the far side; names its realm and our address"),
    Row("Call-ID", "i", False, OURS, "each leg has its own"),
    Row("Call-Info", "", True, DROP, "a URL shows where it is served; even a urn may (urn:emergency)"),
    Row("Cellular-Network-Info", "", False, TRUSTED, "the cell and network of the caller (3GPP)"),
    Row("Contact", "m", True, OURS, "shows where the peer is"),
    Row("Content-Disposition", "", False, KEEP, "what the body is for"),
    Row("Content-Encoding", "e", True, KEEP, "how the body is packed"),
    Row("Content-ID", "", False, DROP, "a name with a host, for headers that do not cross"),
    Row("Content-Language", "", True, KEEP, "the body's language"),
    Row("Content-Length", "l", False, OURS, "measured on what is sent"),
    Row("Content-Type", "c", False, KEEP, "says what the body is"),
    Row("CSeq", "", False, OURS, "each leg counts for itself"),
    Row("Date", "", False, KEEP, "only together with Identity, which covers it"),
    Row("DC-Info", "", False, TRUSTED, "data channels of a call (3GPP)"),
    Row("Encryption", "", False, DROP, "abolished by RFC 3261"),
    Row("Error-Info", "", True, DROP, "a URL shows where it is served"),
    Row("Event", "o", False, MASK, "the package crosses; a dialog that it names has the other leg's ids"),
    Row("Expires", "", False, KEEP, "a number of seconds"),
    Row("Feature-Caps", "", True, DROP, "tells what the servers of a network can do"),
    Row("Flow-Timer", "", False, DROP, "concerns one connection only (RFC 5626)"),
    Row("From", "f", False, OURS, "the leg's own tag; the host is masked"),
    Row("Geolocation", "", True, DROP, "where the caller is"),
    Row("Geolocation-Error", "", False, DROP, "goes with Geolocation"),
    Row("Geolocation-Routing", "", False, DROP, "goes with Geolocation"),
    Row("Hide", "", False, DROP, "abolished by RFC 3261"),
    Row("History-Info", "", True, DROP, "shows the way through a network"),
    Row("Identity", "y", False, KEEP, "only where From and To keep their hosts, which it signs"),
    Row("Identity-Info", "", False, DROP, "abolished by RFC 8224"),
    Row("In-Reply-To", "", True, MAP, "Call-IDs of calls that are become the other leg's; others stay behind"),
    Row("Info-Package", "", False, KEEP, "what an INFO is about"),
    Row("Join", "", False, MAP, "the dialog has the other leg's ids; 481 where it is not valid"),
    Row("Max-Breadth", "", False, KEEP, "a number; limits forking end to end (RFC 5393)"),
    Row("Max-Forwards", "", False, OURS, "counted down across the legs (RFC 7332)"),
    Row("MIME-Version", "", False, KEEP, "a version of MIME"),
    Row("Min-Expires", "", False, KEEP, "a number of seconds"),
    Row("Min-SE", "", False, OURS, "each leg has its own session timer"),
    Row("Organization", "", False, DROP, "names who runs the far side"),
    Row("Origination-Id", "", False, TRUSTED, "a network's own id of the call (3GPP)"),
    Row("P-Access-Network-Info", "", True, TRUSTED, "access and place of the caller (RFC 7315)"),
    Row("P-Answer-State", "", False, TRUSTED, "who answered: phone or server (RFC 4964)"),
    Row("P-Asserted-Identity", "", True, TRUSTED, "an identity that a network vouches for (RFC 3325)"),
    Row("P-Asserted-Service", "", True, TRUSTED, "a service that a network vouches for (RFC 6050)"),
    Row("P-Associated-URI", "", True, TRUSTED, "all addresses of a subscriber (RFC 7315)"),
    Row("P-Called-Party-ID", "", False, TRUSTED, "the address that was called first (RFC 7315)"),
    Row("P-Charge-Info", "", False, TRUSTED, "who pays (RFC 8496)"),
    Row("P-Charging-Function-Addresses", "", False, DROP, "servers inside one network (RFC 7315)"),
    Row("P-Charging-Vector", "", False, TRUSTED, "ids for charging between networks (RFC 7315)"),
    Row("P-DCS-Billing-Info", "", False, TRUSTED, "who pays (RFC 5503)"),
    Row("P-DCS-LAES", "", False, DROP, "servers of lawful interception (RFC 5503)"),
    Row("P-DCS-OSPS", "", False, TRUSTED, "an operator's service (RFC 5503)"),
    Row("P-DCS-Redirect", "", False, TRUSTED, "charging of redirected calls (RFC 5503)"),
    Row("P-DCS-Trace-Party-ID", "", False, TRUSTED, "who called last (RFC 5503)"),
    Row("P-Early-Media", "", True, TRUSTED, "early media that a network allows (RFC 5009)"),
    Row("P-Media-Authorization", "", True, DROP, "tokens for one access network (RFC 3313)"),
    Row("P-Preferred-Identity", "", True, DROP, "for the server that vouches for its caller (RFC 3325)"),
    Row("P-Preferred-Service", "", True, DROP, "for the server that vouches for its caller (RFC 6050)"),
    Row("P-Private-Network-Indication", "", False, TRUSTED, "names a private network (RFC 7316)"),
    Row("P-Profile-Key", "", False, DROP, "a key into one network's data base (RFC 5002)"),
    Row("P-Refused-URI-List", "", True, DROP, "addresses of the far side (RFC 5318)"),
    Row("P-Served-User", "", False, TRUSTED, "whom a network serves (RFC 5502)"),
    Row("P-User-Database", "", False, DROP, "a server inside one network (RFC 4457)"),
    Row("P-Visited-Network-ID", "", True, TRUSTED, "names the network a phone is in (RFC 7315)"),
    Row("Path", "", True, DROP, "shows the path of a registration"),
    Row("Permission-Missing", "", True, DROP, "addresses of the far side (RFC 5360)"),
    Row("Policy-Contact", "", True, DROP, "servers of one network (RFC 6794)"),
    Row("Policy-ID", "", True, DROP, "servers of one network (RFC 6794)"),
    Row("Priority", "", False, KEEP, "how urgent the request is"),
    Row("Priority-Share", "", False, DROP, "concerns one network's own bearers (3GPP)"),
    Row("Priority-Verstat", "", False, TRUSTED, "what a network verified (3GPP)"),
    Row("Priv-Answer-Mode", "", False, TRUSTED, "makes a phone answer against its owner's wish (RFC 5373)"),
    Row("Privacy", "", False, KEEP, "what the caller wants hidden; it is honoured here too"),
    Row("Proxy-Authenticate", "", False, KEEP, "the far side's challenge less its domain; names its realm"),
    Row("Proxy-Authorization", "", False, KEEP, "credentials for the far side; names its realm and our address"),
    Row("Proxy-Require", "", True, INTERSECT, "only what is bridged; the rest is refused with 420"),
    Row("RAck", "", False, OURS, "each leg has its own reliable responses"),
    Row("Reason", "", True, MASK, "protocol and cause cross; the text does not"),
    Row("Reason-Phrase", "", False, DROP, "a reserved name, not a header"),
    Row("Record-Route", "", True, OURS, "shows the path; each leg has its own"),
    Row("Recv-Info", "", True, KEEP, "INFO packages, but for that of candidates (RFC 8840)"),
    Row("Refer-Events-At", "", False, DROP, "an address of the far side (RFC 7614)"),
    Row("Refer-Sub", "", False, KEEP, "true or false"),
    Row(
        "Refer-To",
        "r",
        False,
        MAP,
        "the host becomes the leg's; only Replaces stays in it, translated",
    ),
    Row("Referred-By", "b", False, MAP, "the host becomes the leg's; a signature does not cross"),
    Row("Reject-Contact", "j", True, KEEP, "what kind of answering device is not wished"),
    Row("Relayed-Charge", "", False, TRUSTED, "charging between networks (3GPP)"),
    Row("Replaces", "", False, MAP, "the dialog has the other leg's ids; 481 where it is not valid"),
    Row("Reply-To", "", False, MASK, "the host becomes the leg's"),
    Row("Request-Disposition", "d", True, KEEP, "how proxies further on should route"),
    Row("Require", "", True, INTERSECT, "only what is bridged; the rest is refused with 420"),
    Row("Resource-Priority", "", True, TRUSTED, "priority is granted within a trust domain (RFC 4412)"),
    Row("Resource-Share", "", False, DROP, "concerns one network's own bearers (3GPP)"),
    Row("Response-Key", "", False, DROP, "abolished by RFC 3261"),
    Row("Response-Source", "", False, DROP, "shows which server answered (3GPP)"),
    Row("Restoration-Info", "", False, DROP, "concerns servers of one network (3GPP)"),
    Row("Retry-After", "", False, MASK, "the seconds cross; the comment does not"),
    Row("Route", "", True, OURS, "shows the path; each leg has its own"),
    Row("RSeq", "", False, OURS, "each leg has its own reliable responses"),
    Row("Security-Client", "", True, DROP, "agreed with the next hop only (RFC 3329)"),
    Row("Security-Server", "", True, DROP, "agreed with the next hop only (RFC 3329)"),
    Row("Security-Verify", "", True, DROP, "agreed with the next hop only (RFC 3329)"),
    Row("Server", "", False, OURS, "names the product"),
    Row("Service-Interact-Info", "", False, TRUSTED, "services already done for a call (3GPP)"),
    Row("Service-Route", "", True, DROP, "shows the path of a registration"),
    Row("Session-Expires", "x", False, OURS, "each leg has its own session timer"),
    Row("Session-ID", "", False, KEEP, "made to cross, and tells of no host (RFC 7989)"),
    Row("SIP-ETag", "", False, KEEP, "the name of a published state"),
    Row("SIP-If-Match", "", False, KEEP, "the name of a published state"),
    Row("Subject", "s", False, KEEP, "the caller's words for the callee"),
    Row("Subscription-State", "", False, MASK, "state, time and reason cross; nothing else that it may say"),
    Row("Supported", "k", True, INTERSECT, "only what is bridged"),
    Row("Suppress-If-Match", "", False, KEEP, "the name of a notified state"),
    Row("Target-Dialog", "", False, MAP, "the dialog has the other leg's ids; an unknown one stays behind"),
    Row("Timestamp", "", False, DROP, "measures one hop"),
    Row("To", "t", False, OURS, "the leg's own tag; the host is masked"),
    Row("Trigger-Consent", "", True, DROP, "addresses of the far side (RFC 5360)"),
    Row("Unsupported", "", True, INTERSECT, "only what could have been asked for"),
    Row("User-Agent", "", False, OURS, "names the product"),
    Row("User-to-User", "", True, KEEP, "what one end's program says to the other's (RFC 7433)"),
    Row("Via", "v", True, OURS, "shows the path; each leg has its own transactions"),
    Row("Warning", "", True, MASK, "the code crosses; agent and text are ours"),
    Row("WWW-Authenticate", "", False, KEEP, "the far side's challenge less its domain; names its realm"),
)

BY_NAME: dict[str, Row] = {row.name: row for row in TABLE}

CANONICAL: dict[str, str] = {}  # the usual spellings
for _row in TABLE:
    for _spelling in (_row.name, _row.compact):
        if _spelling:
            for _case in (_spelling, _spelling.lower(), _spelling.upper(), _spelling.title()):
                CANONICAL[_case] = _row.name

_LOWER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def canonical(name: str) -> str:
    """The one spelling of a header name: the table's, or lower case for a header that has no row."""
    known = CANONICAL.get(name)
    if known is None:
        # Blanks and capitals of ASCII only: Unicode has more, and a name that is none to others must be none to us.
        name = name.strip(" \t").translate(_LOWER)
        known = CANONICAL.get(name, name)
    return known


def verdict_of(name: str) -> Row:
    """The row of a header in any spelling; a DROP row for one that has none."""
    name = canonical(name)
    return BY_NAME.get(name) or Row(name, "", False, DROP, "not in the table")
