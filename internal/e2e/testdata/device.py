#!/usr/bin/env python3
"""A device that shares no code with this repository.

It stands for the iPhone and the person who holds it: Safari at the portal, the
profile, SCEP (RFC 8894), Apple's check-in and command protocols. DER is put
together here; keys, digests, signatures and envelopes are made by the openssl
command. Python's standard library is all it needs.

On success the last line of standard output is a JSON object that says what the
device did; on failure it exits 1 and says what was wrong on standard error.
"""

import argparse
import base64
import html.parser
import http.cookiejar
import json
import os
import plistlib
import secrets
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid

SAFARI = ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_6_1 like Mac OS X) AppleWebKit/605.1.15"
          " (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1")
ANSWER_LIMIT = 4 << 20
COMMAND_LIMIT = 20


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
CONTENT_TYPE, MESSAGE_DIGEST = oid("1.2.840.113549.1.9.3"), oid("1.2.840.113549.1.9.4")
SIGNING_TIME, CHALLENGE_PASSWORD = oid("1.2.840.113549.1.9.5"), oid("1.2.840.113549.1.9.7")
RSA = sequence(oid("1.2.840.113549.1.1.1"), NULL)
SHA256_WITH_RSA = sequence(oid("1.2.840.113549.1.1.11"), NULL)
SHA1, SHA256 = sequence(oid("1.3.14.3.2.26"), NULL), sequence(oid("2.16.840.1.101.3.4.2.1"), NULL)
ATTRIBUTES = {"C": oid("2.5.4.6"), "L": oid("2.5.4.7"), "ST": oid("2.5.4.8"),
              "O": oid("2.5.4.10"), "OU": oid("2.5.4.11"), "CN": oid("2.5.4.3")}


def scep(n):
    """A signed attribute of RFC 8894, section 3.2.1."""
    return oid(f"2.16.840.1.113733.1.9.{n}")


MESSAGE_TYPE, PKI_STATUS, FAIL_INFO = scep(2), scep(3), scep(4)
SENDER_NONCE, RECIPIENT_NONCE, TRANSACTION_ID = scep(5), scep(6), scep(7)


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


class Page(html.parser.HTMLParser):
    """The links and forms of a page."""

    def __init__(self, url, text):
        super().__init__()
        self.url, self.links, self.forms = url, [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "a" and attrs.get("href"):
            self.links.append(urllib.parse.urljoin(self.url, attrs["href"]))
        elif tag == "form":
            self.forms.append((urllib.parse.urljoin(self.url, attrs.get("action") or ""), {}))
        elif tag == "input" and attrs.get("name") and self.forms:
            self.forms[-1][1][attrs["name"]] = attrs.get("value") or ""

    def link(self, end):
        found = [u for u in self.links if urllib.parse.urlsplit(u).path.endswith(end)]
        require(found, f"no link to …{end} on {self.url}")
        return found[0]


class Web:
    """What the phone sends HTTP requests with; with cookies it is Safari."""

    def __init__(self, ca, agent, cookies):
        handlers = [urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca)),
                    urllib.request.ProxyHandler({})]
        if cookies:
            handlers.append(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
        self.opener = urllib.request.build_opener(*handlers)
        self.agent = agent

    def __call__(self, url, body=None, method=None, headers=None):
        require(url.startswith("https://"), f"{url} is not https")
        request = urllib.request.Request(url, data=body, method=method, headers={"User-Agent": self.agent, **(headers or {})})
        try:
            with self.opener.open(request, timeout=45) as response:
                content = response.read(ANSWER_LIMIT + 1)
                require(len(content) <= ANSWER_LIMIT, f"{url} answered too much")
                same(response.status, 200, f"status of {url}")
                return response, content
        except urllib.error.HTTPError as e:
            raise Wrong(f"{request.get_method()} {url} answered {e.code}: {e.read(2000)!r}") from e

    def page(self, url, **request):
        response, content = self(url, **request)
        same(response.headers.get_content_type(), "text/html", f"type of {url}")
        return Page(response.url, content.decode())


def sign_in(safari, portal, user, password):
    """The person's way through the portal, up to the profile button."""
    page = safari.page(portal)
    page = safari.page(page.link("/login"))
    forms = [(action, inputs) for action, inputs in page.forms if {"username", "password"} <= set(inputs)]
    require(len(forms) == 1, f"{page.url} has not one sign-in form")
    action, inputs = forms[0]
    inputs.update(username=user, password=password)
    page = safari.page(action, body=urllib.parse.urlencode(inputs).encode(), headers={"Content-Type": "application/x-www-form-urlencoded"})
    require(urllib.parse.urlsplit(page.url).path.endswith("/ready"), f"sign-in ended at {page.url}")
    return page


STANDARD = {"PayloadType", "PayloadVersion", "PayloadIdentifier", "PayloadUUID"}
TOP = STANDARD | {"PayloadContent", "PayloadDisplayName", "PayloadDescription", "PayloadOrganization"}
MDM = STANDARD | {"PayloadDisplayName", "CheckInURL", "CheckOutWhenRemoved", "IdentityCertificateUUID",
                  "ManagedAppleID", "ServerURL", "SignMessage", "Topic"}


def read_profile(content, ca, openssl):
    """The MDM and SCEP payloads of an enrollment profile with exactly the keys of User Enrollment."""
    top = plistlib.loads(content, fmt=plistlib.FMT_XML)
    same(set(top), TOP, "keys of the profile")
    same(top["PayloadType"], "Configuration", "PayloadType")
    payloads = {}
    for p in top["PayloadContent"]:
        require(STANDARD <= set(p) and p["PayloadVersion"] == 1, f"standard keys of {p.get('PayloadType')}")
        payloads.setdefault(p["PayloadType"], []).append(p)
    same({k: len(v) for k, v in payloads.items()},
         {"com.apple.mdm": 1, "com.apple.security.scep": 1, "com.apple.security.root": 1}, "payloads")
    mdm, identity = payloads["com.apple.mdm"][0], payloads["com.apple.security.scep"][0]
    same(set(mdm), MDM, "keys of com.apple.mdm")
    same(mdm["IdentityCertificateUUID"], identity["PayloadUUID"], "IdentityCertificateUUID")
    require(mdm["SignMessage"] is True and mdm["CheckOutWhenRemoved"] is True, "SignMessage and CheckOutWhenRemoved")
    require(mdm["Topic"].startswith("com.apple.mgmt."), "Topic")
    root = payloads["com.apple.security.root"][0]["PayloadContent"]
    with open(ca, "rb") as f:
        same(root, openssl.der(f.read()), "the root in the profile")
    return mdm, identity["PayloadContent"]


def name(subject):
    """A distinguished name from the payload's list of RDNs of [type, value] pairs."""
    return sequence(*(set_of(*(sequence(ATTRIBUTES.get(k) or oid(k), utf8(v)) for k, v in rdn)) for rdn in subject))


def request_for(challenge, subject, public_key, openssl):
    """A certificate request (RFC 2986) with a challengePassword."""
    info = sequence(integer(0), subject, public_key,
                    tlv(0xa0, sequence(CHALLENGE_PASSWORD, set_of(printable(challenge)))))
    return sequence(info, SHA256_WITH_RSA, bits(openssl.sign(info)))


def self_signed(subject, public_key, openssl):
    """The temporary certificate that signs the first message."""
    now = time.time()
    tbs = sequence(tlv(0xa0, integer(2)), integer(secrets.randbits(63)), SHA256_WITH_RSA, subject,
                   sequence(utc(now - 3600), utc(now + 86400)), subject, public_key)
    return sequence(tbs, SHA256_WITH_RSA, bits(openssl.sign(tbs)))


def signer_of(certificate):
    """The issuer and serial number of a certificate in DER."""
    tbs = element(certificate, 0x30).children()[0].children()
    return sequence(tbs[3].full, tbs[1].full)


def pki_message(envelope, certificate, attributes, openssl):
    """A SCEP message: SignedData over an envelope (RFC 8894, section 3.2)."""
    pairs = [(CONTENT_TYPE, DATA), (MESSAGE_DIGEST, octets(openssl.digest(envelope))), (SIGNING_TIME, utc(time.time()))] + attributes
    signed = set_of(*(sequence(kind, set_of(value)) for kind, value in pairs))
    signer = sequence(integer(1), signer_of(certificate), SHA256, b"\xa0" + signed[1:], RSA, octets(openssl.sign(signed)))
    return sequence(SIGNED_DATA, tlv(0xa0, sequence(
        integer(1), set_of(SHA256), sequence(DATA, tlv(0xa0, octets(envelope))), tlv(0xa0, certificate), set_of(signer))))


def open_reply(der, authority, openssl):
    """The content and attributes of a CertRep that the RA signed."""
    kind, wrapped = element(der, 0x30).children()
    same(kind.full, SIGNED_DATA, "type of the CertRep")
    parts = wrapped.children()[0].children()
    content = None
    info = parts[2].children()
    same(info[0].full, DATA, "type of the CertRep's content")
    if len(info) == 2:
        content = element(info[1].body, 0x04).body
    signers = parts[-1].children()
    same(len(signers), 1, "signers of the CertRep")
    version, signer, digest, signed, algorithm, signature = signers[0].children()
    same(signer.full, signer_of(openssl.der(authority)), "signer of the CertRep")
    same(digest.full, SHA256, "digest of the CertRep")
    public = openssl.write("ra-public.pem", openssl.public_key(authority))
    openssl("dgst", "-sha256", "-verify", public, "-signature", openssl.write("reply.sig", signature.body), stdin=b"\x31" + signed.full[1:])
    attributes = {}
    for a in signed.children():
        key, values = a.children()
        require(key.full not in attributes and len(values.children()) == 1, "a signed attribute is not single")
        attributes[key.full] = values.children()[0].body
    if content is not None:
        same(attributes[MESSAGE_DIGEST], openssl.digest(content), "messageDigest of the CertRep")
    return content, attributes


def get_identity(web, payload, openssl):
    """Enrolls a new key by SCEP and returns its certificate in PEM."""
    url = payload["URL"]
    message = {"message": payload["Name"]} if payload.get("Name") else {}

    def get(operation):
        return web(url + "?" + urllib.parse.urlencode({"operation": operation, **message}))

    response, der = get("GetCACert")
    same(response.headers["Content-Type"], "application/x-x509-ca-ra-cert", "type of GetCACert")
    authorities = openssl.certificates(der)
    ras = [c for c in authorities if not openssl.is_authority(c)]
    require(len(ras) == 1 and len(authorities) > 1, "GetCACert is not one RA and its authority")
    ra = openssl.write("ra.pem", ras[0])
    cas = openssl.write("identity-ca.pem", b"".join(c for c in authorities if c != ras[0]))
    openssl("verify", "-CAfile", cas, ra)
    _, capabilities = get("GetCACaps")
    require({"POSTPKIOperation", "SHA-256", "AES"} <= set(capabilities.decode().splitlines()), f"capabilities {capabilities!r}")

    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", f"rsa_keygen_bits:{payload['Keysize']}", "-out", openssl.path("key.pem"))
    public_key = openssl("pkey", "-in", openssl.path("key.pem"), "-pubout", "-outform", "DER")
    subject = name(payload.get("Subject") or [[["CN", str(uuid.uuid4())]]])
    csr = request_for(payload["Challenge"], subject, public_key, openssl)
    temporary = self_signed(subject, public_key, openssl)
    own = openssl.write("temporary.pem", openssl("x509", "-inform", "DER", stdin=temporary))
    envelope = openssl("cms", "-encrypt", "-binary", "-aes-256-cbc", "-outform", "DER", ra, stdin=csr)
    transaction, nonce = openssl.digest(public_key).hex().upper(), secrets.token_bytes(16)
    request = pki_message(envelope, temporary, [
        (MESSAGE_TYPE, printable("19")), (TRANSACTION_ID, printable(transaction)), (SENDER_NONCE, octets(nonce))], openssl)

    response, der = web(url + "?operation=PKIOperation", body=request, headers={"Content-Type": "application/x-pki-message"})
    same(response.headers["Content-Type"], "application/x-pki-message", "type of the CertRep")
    content, attributes = open_reply(der, ras[0], openssl)
    same(attributes[MESSAGE_TYPE], b"3", "messageType")
    same(attributes[PKI_STATUS], b"0", f"pkiStatus (failInfo {attributes.get(FAIL_INFO)})")
    same(attributes[TRANSACTION_ID], transaction.encode(), "transactionID")
    same(attributes[RECIPIENT_NONCE], nonce, "recipientNonce")
    certificates = openssl.certificates(openssl(
        "cms", "-decrypt", "-inform", "DER", "-binary", "-recip", own, "-inkey", openssl.path("key.pem"), stdin=content))
    spki = openssl("pkey", "-in", openssl.path("key.pem"), "-pubout")
    mine = [c for c in certificates if openssl.public_key(c) == spki]
    require(len(mine) == 1, "the answer has not one certificate of this key")
    certificate = openssl.write("identity.pem", mine[0])
    openssl("verify", "-CAfile", cas, "-purpose", "sslclient", certificate)
    return mine[0]


def signature_as_captured(body, certificate, openssl):
    """Mdm-Signature as real devices send it: BER, SHA-1, no signed attributes."""
    der = openssl.der(certificate)
    signer = sequence(integer(1), signer_of(der), SHA1, RSA, octets(openssl.sign(body, "sha1")))
    return indefinite(0x30, SIGNED_DATA, indefinite(0xa0, indefinite(
        0x30, integer(1), set_of(SHA1), indefinite(0x30, DATA), indefinite(0xa0, der), set_of(signer))))


def signature_by_openssl(body, _, openssl):
    """Mdm-Signature in DER with SHA-256 and signed attributes."""
    return openssl("cms", "-sign", "-binary", "-md", "sha256", "-outform", "DER",
                   "-signer", openssl.path("identity.pem"), "-inkey", openssl.path("key.pem"), stdin=body)


class Phone:
    """The device side of Apple's protocol, after SCEP."""

    def __init__(self, web, mdm, certificate, sign, openssl, ca):
        self.web, self.mdm, self.certificate = web, mdm, certificate
        self.sign, self.openssl, self.ca = sign, openssl, ca
        self.enrollment_id = str(uuid.uuid4()).upper()
        self.commands, self.installed = [], []

    def put(self, url, kind, message):
        body = plistlib.dumps({"EnrollmentID": self.enrollment_id, **message})
        signature = base64.b64encode(self.sign(body, self.certificate, self.openssl)).decode()
        _, answer = self.web(url, body=body, method="PUT", headers={"Content-Type": kind, "Mdm-Signature": signature})
        return answer

    def check_in(self, kind, **message):
        answer = self.put(self.mdm["CheckInURL"], "application/x-apple-aspen-mdm-checkin",
                          {"MessageType": kind, "Topic": self.mdm["Topic"], **message})
        same(answer, b"", f"answer to {kind}")

    def enroll(self):
        self.check_in("Authenticate", OSVersion="17.6.1", BuildVersion="21G93", ProductName="iPhone15,2")
        self.check_in("TokenUpdate", Token=secrets.token_bytes(32), PushMagic=str(uuid.uuid4()).upper(), AwaitingConfiguration=False)

    def connect(self):
        """One session: Idle, then each command until the answer is empty."""
        report, n = {"Status": "Idle"}, 0
        while answer := self.put(self.mdm["ServerURL"], "application/x-apple-aspen-mdm; charset=UTF-8", report):
            n += 1
            require(n <= COMMAND_LIMIT, "the session does not end")
            self.openssl.write(f"command-{len(self.commands)}.plist", answer)
            message = plistlib.loads(answer, fmt=plistlib.FMT_XML)
            same(set(message), {"Command", "CommandUUID"}, "keys of a command")
            report = {"CommandUUID": message["CommandUUID"], "Status": "Acknowledged"}
            self.execute(message["CommandUUID"], message["Command"])
        return n

    def execute(self, command_uuid, command):
        self.commands.append({"command_uuid": command_uuid, "request_type": command["RequestType"]})
        same(command["RequestType"], "InstallProfile", "RequestType")
        profile = command["Payload"]
        if not profile.startswith(b"<?xml"):
            profile = self.openssl("cms", "-verify", "-inform", "DER", "-CAfile", self.ca, stdin=profile)
        self.openssl.write(f"installed-{len(self.commands)}.plist", profile)
        for payload in plistlib.loads(profile, fmt=plistlib.FMT_XML)["PayloadContent"]:
            self.installed.append({"command_uuid": command_uuid, **payload})


def check(file, ca, openssl):
    """Verifies a downloaded profile by openssl's default purpose, and reads it."""
    content = openssl("cms", "-verify", "-inform", "DER", "-in", file, "-CAfile", ca)
    openssl.write("enroll.plist", content)
    return read_profile(content, ca, openssl)


def download(o, openssl):
    """Goes through the portal and returns the file of the profile."""
    safari = Web(o.ca, SAFARI, cookies=True)
    ready = sign_in(safari, o.portal, o.user, o.password)
    response, signed = safari(ready.link("/profile"))
    same(response.headers["Content-Type"], "application/x-apple-aspen-config", "type of the profile")
    return openssl.write("enroll.mobileconfig", signed)


def run(o):
    openssl = OpenSSL(o.work)
    if o.check:
        mdm, _ = check(o.check, o.ca, openssl)
        return {"managed_apple_account": mdm["ManagedAppleID"]}
    file = o.profile or download(o, openssl)
    mdm, identity = check(file, o.ca, openssl)

    web = Web(o.ca, "MDM/1.0", cookies=False)
    certificate = get_identity(web, identity, openssl)
    sign = {"captured": signature_as_captured, "openssl": signature_by_openssl}[o.signature]
    phone = Phone(web, mdm, certificate, sign, openssl, o.ca)
    phone.enroll()
    phone.connect()
    sso = [p for p in phone.installed if p["PayloadType"] == "com.apple.extensiblesso"]
    same(len(sso), 1, "Extensible SSO payloads at the first Idle")
    same(phone.connect(), 0, "commands at the second Idle")
    return {
        "managed_apple_account": mdm["ManagedAppleID"],
        "enrollment_id": phone.enrollment_id,
        "certificate_sha256": openssl.digest(openssl.der(certificate)).hex(),
        "commands": phone.commands,
        "sso": {k: sso[0].get(k) for k in ("command_uuid", "ExtensionIdentifier", "Type", "URLs", "Hosts")},
    }


def main():
    parser = argparse.ArgumentParser(description="An iPhone that enrolls through the portal.")
    parser.add_argument("--ca", required=True, help="file of the authority that TLS and profiles are trusted by")
    parser.add_argument("--work", required=True, help="directory of the device's files")
    parser.add_argument("--check", metavar="FILE", help="only verify a downloaded profile and check its keys")
    parser.add_argument("--profile", metavar="FILE", help="install this profile instead of going through the portal")
    parser.add_argument("--portal", help="address of the landing page")
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--signature", choices=["captured", "openssl"], default="captured", help="shape of Mdm-Signature")
    try:
        print(json.dumps(run(parser.parse_args())))
    except (Wrong, urllib.error.URLError, plistlib.InvalidFileException, KeyError, ValueError) as e:
        sys.exit(f"device: {type(e).__name__}: {e}")


if __name__ == "__main__":
    main()
