#!/usr/bin/env python3
"""A device that shares no code with this repository.

It stands for the iPhone and the person who holds it: Safari at the portal, the
profile, SCEP (RFC 8894), Apple's check-in and command protocols. DER is put
together by der.py; keys, digests, signatures and envelopes are made by the
openssl command. Python's standard library is all it needs.

On success the last line of standard output is a JSON object that says what the
device did; on failure it exits 1 and says what was wrong on standard error.
"""

import argparse
import base64
import html.parser
import http.cookiejar
import json
import plistlib
import secrets
import ssl
import sys
import urllib.error
import urllib.parse
import urllib.request
import uuid

from der import (DATA, RSA, SHA1, SIGNED_DATA, OpenSSL, Wrong, indefinite, integer, octets, require, same,
                 sequence, set_of, signer_of)
from scep import get_identity

SAFARI = ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_6_1 like Mac OS X) AppleWebKit/605.1.15"
          " (KHTML, like Gecko) Version/17.6 Mobile/15E148 Safari/604.1")
CONNECT = "application/x-apple-aspen-mdm; charset=UTF-8"
ANSWER_LIMIT = 4 << 20
COMMAND_LIMIT = 20


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

    def __init__(self, ca, agent, cookies, *handlers):
        handlers = [urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca)),
                    urllib.request.ProxyHandler({}), *handlers]
        if cookies:
            handlers.append(urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar()))
        self.opener = urllib.request.build_opener(*handlers)
        self.agent = agent

    def answer(self, url, body=None, method=None, headers=None):
        """Whatever the server answers, after redirects."""
        require(url.startswith("https://"), f"{url} is not https")
        request = urllib.request.Request(url, data=body, method=method, headers={"User-Agent": self.agent, **(headers or {})})
        try:
            response = self.opener.open(request, timeout=45)
        except urllib.error.HTTPError as e:
            response = e
        with response:
            content = response.read(ANSWER_LIMIT + 1)
            require(len(content) <= ANSWER_LIMIT, f"{url} answered too much")
            return response, content

    def __call__(self, url, **request):
        response, content = self.answer(url, **request)
        require(response.status == 200, f"{url} answered {response.status}: {content[:2000]!r}")
        return response, content

    def page(self, url, **request):
        response, content = self(url, **request)
        same(response.headers.get_content_type(), "text/html", f"type of {url}")
        return Page(response.url, content.decode())


def form_post(inputs):
    """A form as a browser, or an OAuth client, posts it."""
    return {"body": urllib.parse.urlencode(inputs).encode(), "headers": {"Content-Type": "application/x-www-form-urlencoded"}}


def login_form(page):
    """The one sign-in form of a page: where it is posted to, and its inputs."""
    forms = [(action, inputs) for action, inputs in page.forms if {"username", "password"} <= set(inputs)]
    require(len(forms) == 1, f"{page.url} has not one sign-in form")
    return forms[0]


def sign_in(safari, portal, user, password):
    """The person's way through the portal, up to the profile button."""
    page = safari.page(portal)
    action, inputs = login_form(safari.page(page.link("/login")))
    page = safari.page(action, **form_post({**inputs, "username": user, "password": password}))
    require(urllib.parse.urlsplit(page.url).path.endswith("/ready"), f"sign-in ended at {page.url}")
    return page


STANDARD = {"PayloadType", "PayloadVersion", "PayloadIdentifier", "PayloadUUID"}
TOP = STANDARD | {"PayloadContent", "PayloadDisplayName", "PayloadDescription", "PayloadOrganization"}
MDM = STANDARD | {"PayloadDisplayName", "CheckInURL", "CheckOutWhenRemoved", "IdentityCertificateUUID",
                  "ManagedAppleID", "ServerURL", "SignMessage", "Topic"}


def read_profile(content, ca, openssl, keys=MDM):
    """The MDM and SCEP payloads of an enrollment profile with exactly the keys of its way."""
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
    same(set(mdm), keys, "keys of com.apple.mdm")
    same(mdm["IdentityCertificateUUID"], identity["PayloadUUID"], "IdentityCertificateUUID")
    require(mdm["SignMessage"] is True and mdm["CheckOutWhenRemoved"] is True, "SignMessage and CheckOutWhenRemoved")
    require(mdm["Topic"].startswith("com.apple.mgmt."), "Topic")
    root = payloads["com.apple.security.root"][0]["PayloadContent"]
    with open(ca, "rb") as f:
        same(root, openssl.der(f.read()), "the root in the profile")
    return mdm, identity["PayloadContent"]


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


SIGNATURES = {"captured": signature_as_captured, "openssl": signature_by_openssl}


class Phone:
    """The device side of Apple's protocol, after SCEP."""

    def __init__(self, web, mdm, certificate, sign, openssl, ca):
        self.web, self.mdm, self.certificate = web, mdm, certificate
        self.sign, self.openssl, self.ca = sign, openssl, ca
        self.enrollment_id = str(uuid.uuid4()).upper()
        self.system = {"OSVersion": "17.6.1", "BuildVersion": "21G93", "ProductName": "iPhone15,2"}
        self.commands, self.installed = [], []

    def named(self):
        """How the device is called in its messages."""
        return {"EnrollmentID": self.enrollment_id}

    def message(self, kind, message):
        """A request, signed by the identity."""
        body = plistlib.dumps({**self.named(), **message})
        signature = base64.b64encode(self.sign(body, self.certificate, self.openssl)).decode()
        return {"body": body, "method": "PUT", "headers": {"Content-Type": kind, "Mdm-Signature": signature}}

    def put(self, url, kind, message):
        _, answer = self.web(url, **self.message(kind, message))
        return answer

    def check_in(self, kind, **message):
        answer = self.put(self.mdm["CheckInURL"], "application/x-apple-aspen-mdm-checkin",
                          {"MessageType": kind, "Topic": self.mdm["Topic"], **message})
        same(answer, b"", f"answer to {kind}")

    def enroll(self):
        self.check_in("Authenticate", **self.system)
        self.check_in("TokenUpdate", Token=secrets.token_bytes(32), PushMagic=str(uuid.uuid4()).upper(), AwaitingConfiguration=False)

    def connect(self):
        """One session: Idle, then each command until the answer is empty."""
        report, n = {"Status": "Idle"}, 0
        while answer := self.put(self.mdm["ServerURL"], CONNECT, report):
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


def check(file, ca, openssl, keys=MDM):
    """Verifies an enrollment profile by openssl's default purpose, and reads it."""
    content = openssl("cms", "-verify", "-inform", "DER", "-in", file, "-CAfile", ca)
    openssl.write("enroll.plist", content)
    return read_profile(content, ca, openssl, keys)


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
    phone = Phone(web, mdm, certificate, SIGNATURES[o.signature], openssl, o.ca)
    return {"managed_apple_account": mdm["ManagedAppleID"], **story(phone)}


def story(phone):
    """The phone's way from Authenticate to the policy, and what came of it."""
    phone.enroll()
    phone.connect()
    sso = [p for p in phone.installed if p["PayloadType"] == "com.apple.extensiblesso"]
    same(len(sso), 1, "Extensible SSO payloads at the first Idle")
    same(phone.connect(), 0, "commands at the second Idle")
    return {
        "enrollment_id": phone.enrollment_id,
        "certificate_sha256": phone.openssl.digest(phone.openssl.der(phone.certificate)).hex(),
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
    parser.add_argument("--signature", choices=list(SIGNATURES), default="captured", help="shape of Mdm-Signature")
    tell(run, parser.parse_args())


def tell(story_of, arguments):
    """Says what the device did, or what was wrong."""
    try:
        print(json.dumps(story_of(arguments)))
    except (Wrong, urllib.error.URLError, plistlib.InvalidFileException, KeyError, ValueError) as e:
        sys.exit(f"device: {type(e).__name__}: {e}")


if __name__ == "__main__":
    main()
