"""GRUUs (RFC 5627): the names of one phone of a user, which its registration is told and calls are sent to."""

from __future__ import annotations

from collections.abc import Sequence

from b2bua.call.bindings import Binding, Bindings
from b2bua.sip.grammar import bracketed
from b2bua.sip.message import Request
from b2bua.sip.registration import TemporaryGruus, gruu_instance, instance_name, public_gruu
from b2bua.sip.tokens import Tokens
from b2bua.sip.uri import Uri

_KEY, _SALT = 32, 8  # octets


class Gruus:
    """Makes the names of bindings, and finds bindings by them."""

    __slots__ = ("_bindings", "_tokens", "_made")

    def __init__(self, bindings: Bindings, tokens: Tokens) -> None:
        self._bindings = bindings
        self._tokens = tokens
        self._made: TemporaryGruus | None = None  # once somebody asks

    def number(self, request: Request, binding: Binding) -> int:
        """What a binding's temporary GRUUs are to say after this REGISTER, 0 for none.

        It is the same for all of an instance's, and another one with each Call-ID: then the old ones end (3.2).
        """
        if not binding.instance or "gruu" not in request.tokens("Supported"):
            return binding.gruu if binding.call_id == request.call_id else 0
        for other in self._bindings.of(binding.aor):
            if other.gruu and other.instance == binding.instance and other.call_id == request.call_id:
                return other.gruu
        return int(self._tokens.word()[:16], 16) or 1

    def names(self, aor: Uri, domain: str, binding: Binding) -> str:
        """Both GRUUs as parameters of its Contact; the temporary one is new each time (5.1)."""
        host = domain or bracketed(aor.host)
        text = f';pub-gruu="{public_gruu(aor.user, host, binding.instance)}"'
        if binding.gruu:
            text += f';temp-gruu="{self._temporary.make(binding.gruu, self._tokens.octets(_SALT), host)}"'
        return text

    def named(self, uri: Uri, aor: str) -> Sequence[Binding] | None:
        """The bindings that a URI means which is a GRUU; None for one that is none."""
        if "gr" not in uri.params:
            return None
        instance = gruu_instance(uri)
        if instance is None:
            return self._bindings.of_gruu(self._temporary.number(uri.user))
        return [each for each in self._bindings.of(aor) if instance_name(each.instance) == instance]

    @property
    def _temporary(self) -> TemporaryGruus:
        if self._made is None:
            self._made = TemporaryGruus(self._bindings.secret("temporary GRUUs", self._tokens.octets(_KEY)))
        return self._made
