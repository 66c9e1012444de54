"""application/pidf+xml (RFC 3863, RFC 4479, RFC 4480): who is there; and where, if that may be told (RFC 4119).

What is written of a location is coordinates and civic addresses. References to what can be fetched, and who provided
the location, stay behind.
"""

from __future__ import annotations

from b2bua.policy.document import (
    LANGUAGE,
    MOMENT,
    TEXT,
    Shape,
    alias,
    document,
    flag,
    holding,
    identity,
    language,
    named,
    of_shape,
    one_of,
    priority,
    uri,
)

_PIDF = "urn:ietf:params:xml:ns:pidf"
_MODEL = "urn:ietf:params:xml:ns:pidf:data-model"
_RPID = "urn:ietf:params:xml:ns:pidf:rpid"
_PERSON = "urn:ietf:params:xml:ns:pidf:person"  # of a draft that many phones and servers speak
_STATUS = "urn:ietf:params:xml:ns:pidf:rpid:rpid-person"
_GEOPRIV = "urn:ietf:params:xml:ns:pidf:geopriv10"
_POLICY = "urn:ietf:params:xml:ns:pidf:geopriv10:basicPolicy"
_CIVIC = "urn:ietf:params:xml:ns:pidf:geopriv10:civicAddr"
_CONFIDENCE = "urn:ietf:params:xml:ns:geopriv:conf"
_GML = "http://www.opengis.net/gml"
_SHAPES = "http://www.opengis.net/pidflo/1.0"

# RFC 4480 3.2
_ACTIVITIES = """
    appointment away breakfast busy dinner holiday in-transit looking-for-work lunch meal meeting on-the-phone other
    performance permanent-absence playing presentation shopping sleeping spectator steering travel tv unknown vacation
    working worship
""".split()


def _activities(space: str) -> Shape:
    return Shape(children=named(space, dict.fromkeys(_ACTIVITIES, Shape()) | {"note": TEXT}))


_PERSONAL = named(_RPID, {
    "activities": _activities(_RPID),
    "user-input": holding(one_of("active idle")),
    "privacy": Shape(children=named(_RPID, dict.fromkeys(["audio", "text", "video", "unknown"], Shape()))),
    "time-offset": holding(of_shape("-?[0-9]{1,4}")),
})  # fmt: skip
_MODEL_PERSON = Shape(
    {"id": alias}, _PERSONAL | named(_MODEL, {"note": TEXT, "timestamp": MOMENT}), needs=frozenset({"id"})
)
_OLD_PERSON = Shape(
    children=named(_PIDF, {"status": Shape(children=named(_STATUS, {"activities": _activities(_STATUS)}))})
)

# Location (RFC 4119 2.2, RFC 5139, RFC 5491)

_COORDINATES = of_shape(r"-?[0-9]{1,9}(?:\.[0-9]{1,15})?(?:[ \r\n\t]+-?[0-9]{1,9}(?:\.[0-9]{1,15})?){0,199}")
_MEASURE = Shape(
    {"uom": of_shape("urn:ogc:def:uom:EPSG::[0-9]{4}"), "srsDimension": one_of("2 3")},
    text=_COORDINATES,
    needs=frozenset({""}),
)
_geometry: dict[str, Shape] = {}
_BOUNDED = Shape({"srsName": of_shape("urn:ogc:def:crs:(?:EPSG|OGC)::[0-9A-Za-z]{1,12}")}, _geometry)
_geometry.update(
    named(_GML, dict.fromkeys("""
        Point LineString Polygon LinearRing exterior interior Envelope Circle
    """.split(), _BOUNDED) | dict.fromkeys("""
        pos posList coordinates lowerCorner upperCorner radius
    """.split(), _MEASURE))
    | named(_SHAPES, dict.fromkeys("Circle Ellipse ArcBand Sphere Ellipsoid Prism base".split(), _BOUNDED)
    | dict.fromkeys("""
        radius innerRadius outerRadius startAngle openingAngle semiMajorAxis semiMinorAxis verticalAxis orientation
        height
    """.split(), _MEASURE))
)  # fmt: skip
_CIVIC_ADDRESS = Shape(
    {LANGUAGE: language},
    named(_CIVIC, dict.fromkeys("""
        country A1 A2 A3 A4 A5 A6 PRM PRD RD STS POD POM RDSEC RDBR RDSUBBR HNO HNS LMK LOC FLR NAM PC BLD UNIT ROOM
        SEAT PLC PCN POBOX ADDCODE
    """.split(), TEXT)),
)  # fmt: skip
_WHERE = Shape(
    children=_geometry | named(_CIVIC, {"civicAddress": _CIVIC_ADDRESS})
    | named(_CONFIDENCE, {"confidence": holding(of_shape(r"[0-9]{1,3}(?:\.[0-9]{1,3})?"))})
)  # fmt: skip
_RULES = named(_POLICY, {"retransmission-allowed": holding(flag), "retention-expiry": MOMENT, "note-well": TEXT})
_LOCATION = named(
    _GEOPRIV,
    {
        "geopriv": Shape(
            children=named(
                _GEOPRIV,
                {
                    "location-info": _WHERE,
                    "usage-rules": Shape(
                        children=_RULES
                        | named(
                            _GEOPRIV,
                            {
                                "retransmission-allowed": holding(flag),
                                "retention-expiry": MOMENT,
                                "note-well": TEXT,
                            },
                        )
                    ),  # fmt: skip
                    "method": holding(
                        one_of("GPS A-GPS Manual DHCP Triangulation Cell 802.11 LLDP-MED DBH_HELO Device-Assisted")
                    ),
                },
            )
        )
    },
)


def _presence(location: dict[str, Shape]) -> Shape:
    """The shape of a document, and of what says where somebody is."""
    service = Shape(
        {"id": alias},
        _PERSONAL
        | named(_PIDF, {
            "status": Shape(children=named(_PIDF, {"basic": holding(one_of("open closed"))}) | location),
            "contact": holding(uri, priority=priority),
            "note": TEXT,
            "timestamp": MOMENT,
        }),
        needs=frozenset({"id"}),
        within=frozenset({f"{{{_PIDF}}}status"}),
    )  # fmt: skip
    device = Shape(
        {"id": alias}, named(_MODEL, {"note": TEXT, "timestamp": MOMENT}) | location, needs=frozenset({"id"})
    )
    person = Shape({"id": alias}, {**_MODEL_PERSON.children, **location}, needs=frozenset({"id"}))
    return Shape(
        {"entity": identity},
        named(_PIDF, {"tuple": service, "note": TEXT})
        | named(_MODEL, {"person": person, "device": device})
        | named(_PERSON, {"person": _OLD_PERSON}),
        needs=frozenset({"entity"}),
    )


_KIND = "application/pidf+xml"
KINDS = {
    _KIND: document(
        _KIND,
        f"{{{_PIDF}}}presence",
        _presence({}),
        "presence with the leg's host in URIs; not where somebody is (RFC 3863, RFC 4119)",
        _presence(_LOCATION),
    )
}
