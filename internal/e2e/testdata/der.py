"""DER, put together and taken apart by hand, and the openssl command.

Nothing here is shared with the repository: keys, digests, signatures and
envelopes are openssl's, and what they are wrapped in is made here.
"""

import os
import subprocess
import time


class Wrong(Exception):
    """What the server did that a device does not accept."""


def require(good, what):
    if not good:
        raise Wrong(what)


def same(got, want, what):
    require(got == want, f"{what} is {got!r}, not {want!r}")


# DER, and the BER that devices send (X.690).

def tlv(tag, *parts):
    body = b"".join(parts)
    if len(body) < 0x80:
        return bytes([tag, len(body)]) + body
    size = len(body).to_bytes((len(body).bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(size)]) + size + body


def indefinite(tag, *parts):
    return bytes([tag, 0x80]) + b"".join(parts) + b"\0\0"


def sequence(*parts):
    return tlv(0x30, *parts)


def set_of(*parts):
    return tlv(0x31, *sorted(parts))


def integer(n):
    return tlv(0x02, n.to_bytes(n.bit_length() // 8 + 1, "big"))


def octets(b):
    return tlv(0x04, b)


def bits(b):
    return tlv(0x03, b"\0", b)


def utf8(s):
    return tlv(0x0c, s.encode())


def printable(s):
    return tlv(0x13, s.encode("ascii"))


def utc(at):
    return tlv(0x17, time.strftime("%y%m%d%H%M%SZ", time.gmtime(at)).encode())


def oid(dotted):
    first, second, *rest = [int(n) for n in dotted.split(".")]
    out = bytearray()
    for n in [40 * first + second] + rest:
        chunk = [n & 0x7f]
        while n := n >> 7:
            chunk.append(n & 0x7f | 0x80)
        out += bytes(reversed(chunk))
    return tlv(0x06, bytes(out))


class Element:
    """One element of DER that was received."""

    def __init__(self, der):
        require(len(der) >= 2, "truncated DER")
        self.tag, size, at = der[0], der[1], 2
        if size >= 0x80:
            at += size & 0x7f
            require(0x81 <= size <= 0x83 and len(der) >= at, "length that is no DER")
            size = int.from_bytes(der[2:at], "big")
        require(len(der) >= at + size, "truncated DER")
        self.body, self.full, self.rest = der[at:at + size], der[:at + size], der[at + size:]

    def children(self):
        out, rest = [], self.body
        while rest:
            child = Element(rest)
            out.append(child)
            rest = child.rest
        return out


def element(der, tag):
    """The one element that der is."""
    e = Element(der)
    require(e.tag == tag and not e.rest, f"element {e.tag:#x} where {tag:#x} belongs")
    return e


NULL = b"\x05\0"
DATA, SIGNED_DATA = oid("1.2.840.113549.1.7.1"), oid("1.2.840.113549.1.7.2")
RSA = sequence(oid("1.2.840.113549.1.1.1"), NULL)
SHA256_WITH_RSA = sequence(oid("1.2.840.113549.1.1.11"), NULL)
SHA1, SHA256 = sequence(oid("1.3.14.3.2.26"), NULL), sequence(oid("2.16.840.1.101.3.4.2.1"), NULL)


def signer_of(certificate):
    """The issuer and serial number of a certificate in DER."""
    tbs = element(certificate, 0x30).children()[0].children()
    return sequence(tbs[3].full, tbs[1].full)


class OpenSSL:
    """The openssl command, in a directory of its own."""

    def __init__(self, directory):
        self.directory = directory

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, content):
        with open(os.open(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as f:
            f.write(content)
        return self.path(name)

    def __call__(self, *args, stdin=b""):
        done = subprocess.run(["openssl", *args], input=stdin, capture_output=True, timeout=60, check=False)
        require(done.returncode == 0, f"openssl {' '.join(args)}: {done.stderr.decode(errors='replace')}")
        return done.stdout

    def digest(self, content, name="sha256"):
        return self("dgst", "-" + name, "-binary", stdin=content)

    def sign(self, content, name="sha256"):
        return self("dgst", "-" + name, "-sign", self.path("key.pem"), stdin=content)

    def certificates(self, der):
        """The certificates, in PEM, of a message that has nothing else."""
        pem = self("pkcs7", "-inform", "DER", "-print_certs", stdin=der).decode()
        end = "-----END CERTIFICATE-----\n"
        return [c[c.index("-----BEGIN"):].encode() + end.encode() for c in pem.split(end) if "-----BEGIN" in c]

    def der(self, pem):
        return self("x509", "-outform", "DER", stdin=pem)

    def public_key(self, pem):
        return self("x509", "-noout", "-pubkey", stdin=pem)

    def is_authority(self, pem):
        return b"CA:TRUE" in self("x509", "-noout", "-text", stdin=pem)
