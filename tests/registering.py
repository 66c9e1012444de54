"""A phone's registration: REGISTER after REGISTER under one Call-ID, with a digest where one is asked for."""

from __future__ import annotations

import re
from hashlib import md5

from b2bua.ops.phone import Dialog, Phone, Sent
from b2bua.sip.listener import Flow
from b2bua.sip.message import Headers, Response
from b2bua.sip.uri import Uri, parse_uri

_PARAM = re.compile(r'(\w+)=(?:"([^"]*)"|([^,\s]+))')


class Registration:
    """One phone's at one registrar. `password` answers challenges; `params` follow its Contact."""

    def __init__(
        self, phone: Phone, flow: Flow, domain: str = "example.com", password: str = "", params: str = ""
    ) -> None:
        self.phone = phone
        self.domain = domain
        self.password = password
        self.params = params
        self.headers: Headers = {}
        self.dialog = Dialog(
            phone, flow, phone.tokens.word(), f"<sip:{phone.user}@{domain}>", parse_uri(f"sip:{domain}")
        )
        self.dialog.local = self.dialog.remote
        self._nonce: dict[str, str] = {}
        self._count = 0

    def register(self, seconds: int = 3600, contact: str = "", more: Headers | None = None) -> Sent:
        """Once; `contact` in place of the phone's own, with its brackets, or "*"."""
        dialog = self.dialog
        dialog.remote_tag, dialog.target = "", Uri("sip", "", self.domain)
        value = contact or f"{self.phone.contact}{self.params}"
        headers: Headers = {"Contact": [value], "Expires": [str(seconds)], **self.headers, **(more or {})}
        if self._nonce:
            headers["Authorization"] = [self._credentials()]
        return dialog.ask("REGISTER", b"", headers)

    def challenged(self, sent: Sent) -> bool:
        """Whether it was; the next REGISTER answers it."""
        for response in sent.responses:
            if response.status == 401:
                self._nonce = {
                    name: one or two for name, one, two in _PARAM.findall(response.first("WWW-Authenticate"))
                }
                self._count = 0
                return True
        return False

    def _credentials(self) -> str:
        said, uri = self._nonce, f"sip:{self.domain}"
        self._count += 1
        count, mine = f"{self._count:08x}", "0a4f113b"
        ha1 = _md5(f"{self.phone.user}:{said['realm']}:{self.password}")
        ha2 = _md5(f"REGISTER:{uri}")
        response = _md5(f"{ha1}:{said['nonce']}:{count}:{mine}:auth:{ha2}")
        return (
            f'Digest username="{self.phone.user}", realm="{said["realm"]}", nonce="{said["nonce"]}", uri="{uri}", '
            f'response="{response}", algorithm=MD5, qop=auth, nc={count}, cnonce="{mine}"'
        )


def _md5(text: str) -> str:
    return md5(text.encode()).hexdigest()


def granted(response: Response, user: str) -> int:
    """The seconds of the Contact with this user; 0 where there is none."""
    for value in response.values("Contact"):
        if f":{user}@" in value and (found := re.search(r";expires=(\d+)", value)):
            return int(found[1])
    return 0
