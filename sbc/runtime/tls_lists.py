"""Whether the certificates of a connection that stands are revoked by now (RFC 5280 §5).

OpenSSL asks the lists of a policy at each handshake, and never again; a list that comes by a reload is asked here of
what was verified then. Who has signed a list is not looked at: the operator has given it. Used by `tls_gate`.
"""

import re
from collections.abc import Iterable
from typing import Final

from cryptography import x509

from sbc.sip.domain_certificate import issuer_mark

_LIST: Final = re.compile(r"-----BEGIN X509 CRL-----.+?-----END X509 CRL-----", re.DOTALL)


class Lists:
    """Of the policy in force and the one before, read once each."""

    def __init__(self) -> None:
        self._read: dict[str, list[tuple[str, x509.CertificateRevocationList]]] = {}

    def read(self, text: str) -> None:
        """PEM, which the policy has checked. It may be long, and takes its time."""
        if text not in self._read:
            found = [x509.load_pem_x509_crl(block.encode()) for block in _LIST.findall(text)]
            self._read[text] = [(issuer_mark(one.issuer), one) for one in found]

    def keep(self, texts: Iterable[str]) -> None:
        kept = set(texts)
        self._read = {text: read for text, read in self._read.items() if text in kept}

    def name(self, text: str, chain: frozenset[str]) -> bool:
        """Whether one of these is listed. `chain`: `Shown.chain`."""
        self.read(text)
        for mark, one in self._read[text]:
            for entry in chain:
                issuer, _, serial = entry.partition("/")
                if serial and issuer == mark and one.get_revoked_certificate_by_serial_number(int(serial, 16)):
                    return True
        return False
