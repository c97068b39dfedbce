#!/usr/bin/env python3
"""An iPhone that enrolls from Settings, by an account, and shares no code with
this repository.

It stands for the device and the person who holds it: service discovery, the
machine information signed under the simulated device CA, the challenge, the web
session, both ways to a bearer token, the profile, and what device.py does from
there on, with the token on each request. Then the token is refreshed, refused
and replaced by signing in again.

On success the last line of standard output is a JSON object that says what the
device did; on failure it exits 1 and says what was wrong on standard error.
"""

import argparse
import json
import plistlib
import re
import secrets
import urllib.parse
import urllib.request
import uuid

from der import OpenSSL, Wrong, require, same
from device import CONNECT, MDM, SIGNATURES, Phone, Web, check, form_post, login_form, story, tell
from scep import get_identity

SETTINGS = "DeviceManagementClient/1.0"
SAFARI = ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15"
          " (KHTML, like Gecko) Version/26.1 Mobile/15E148 Safari/604.1")
SYSTEM = {"OSVersion": "26.1", "BuildVersion": "23B85", "ProductName": "iPhone17,2"}
SCHEME = "apple-remotemanagement-user-login"
ACCOUNT = MDM - {"ManagedAppleID"} | {"EnrollmentMode", "AssignedManagedAppleID"}
WAYS = {"mdm-byod": ("BYOD", ACCOUNT), "mdm-adde": ("ADDE", ACCOUNT | {"AccessRights"})}


class HandedBack(Exception):
    """The web session was led to the address that ends it."""

    def __init__(self, status, headers):
        super().__init__(headers["Location"])
        same(status, 308, "status of the hand-back")
        same(headers["Content-Length"], "0", "length of the hand-back")
        self.values = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(headers["Location"]).query, strict_parsing=True))
        self.address = headers["Location"].split("?")[0]


class Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to the one that hands back."""

    def http_error_302(self, req, fp, code, msg, headers):
        if headers.get("Location", "").startswith(SCHEME + ":"):
            raise HandedBack(code, headers)
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


class Session(Web):
    """The browser of a web session, with cookies of its own."""

    def __init__(self, ca):
        super().__init__(ca, SAFARI, True, Redirects())

    def sign_in(self, url, user, password):
        """Fills in the form at the end of url's redirects, and returns how the session ended."""
        try:
            page = self.page(url)
            action, inputs = login_form(page)
            same(inputs["username"], user, "the account in the sign-in form")
            page = self.page(action, **form_post({**inputs, "username": user, "password": password}))
        except HandedBack as end:
            return end
        raise Wrong(f"the session stays at {page.url}")


def typed(user):
    """A value in a query of the device's: a plus sign stays."""
    return urllib.parse.quote(user, safe="+")


def discover(web, site, user):
    """Where the domain's devices enroll."""
    response, content = web(f"{site}/.well-known/com.apple.remotemanagement?user-identifier={typed(user)}&model-family=iPhone")
    same(response.headers["Content-Type"], "application/json", "type of the discovery document")
    document = json.loads(content)
    same(set(document), {"Servers"}, "keys of the discovery document")
    same(len(document["Servers"]), 1, "servers of the discovery document")
    same(set(document["Servers"][0]), {"Version", "BaseURL"}, "keys of a server")
    return document["Servers"][0]


def machine_information(authority, openssl, shape):
    """The body of the enrollment POST, signed by a leaf that the device CA issued."""
    key, request, leaf = openssl.path("built-in.key"), openssl.path("built-in.csr"), openssl.path("built-in.pem")
    openssl("genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", key)
    openssl("req", "-new", "-key", key, "-subj", f"/CN={uuid.uuid4().hex}", "-out", request)
    openssl("x509", "-req", "-in", request, "-CA", authority + ".pem", "-CAkey", authority + ".key",
            "-set_serial", str(secrets.randbits(63)), "-days", "30", "-sha256", "-out", leaf)
    content = plistlib.dumps({"PRODUCT": SYSTEM["ProductName"], "VERSION": SYSTEM["BuildVersion"], "OS_VERSION": SYSTEM["OSVersion"],
                              "LANGUAGE": "en-GB", "SUPPLEMENTAL_BUILD_VERSION": SYSTEM["BuildVersion"],
                              "SOFTWARE_UPDATE_DEVICE_ID": SYSTEM["ProductName"]})
    openssl.write("machine.plist", content)
    shapes = {"captured": ["-md", "sha1"], "openssl": ["-md", "sha256", "-noattr"]}
    return openssl("cms", "-sign", "-binary", "-nodetach", "-outform", "DER", *shapes[shape],
                   "-signer", leaf, "-inkey", key, "-certfile", authority + ".pem", stdin=content)


def challenge_of(response, content):
    """The parameters of a 401's challenge."""
    same(response.status, 401, "status of what lacks a token")
    same((content, response.headers["Content-Length"]), (b"", "0"), "body of a challenge")
    values = response.headers.get_all("WWW-Authenticate")
    same(len(values), 1, "challenges")
    scheme, _, rest = values[0].partition(" ")
    same(scheme, "Bearer", "scheme of the challenge")
    params = dict(re.findall(r'([a-z-]+)="([^"]*)"', rest))
    same(", ".join(f'{k}="{v}"' for k, v in params.items()), rest, "what was read of the challenge")
    return params


class Tokens:
    """What the person's sign-ins gave the device."""

    def __init__(self, o):
        self.o, self.access, self.refresh_token, self.challenge = o, None, None, None
        self.web = Web(o.ca, SETTINGS, cookies=False)

    def header(self):
        return {"Authorization": "Bearer " + self.access}

    def sign_in(self, challenge):
        """Goes through the web session of a challenge."""
        self.challenge = challenge
        {"apple-as-web": self.sign_in_on_web, "apple-oauth2": self.sign_in_by_oauth}[challenge["method"]]()

    def sign_in_on_web(self):
        same(set(self.challenge), {"method", "url"}, "parameters of the challenge")
        url = self.challenge["url"].partition("?")[0] + "?user-identifier=" + typed(self.o.user)
        end = Session(self.o.ca).sign_in(url, self.o.user, self.o.password)
        same((end.address, set(end.values)), (SCHEME + "://authentication-results", {"access-token"}), "hand-back")
        self.access = end.values["access-token"]

    def sign_in_by_oauth(self):
        same(set(self.challenge), {"method", "authorization-url", "token-url", "redirect-url", "client-id", "scope"}, "parameters of the challenge")
        state, redirect = str(uuid.uuid4()), self.challenge["redirect-url"]
        url = self.challenge["authorization-url"]
        url += ("&" if "?" in url else "?") + urllib.parse.urlencode({
            "response_type": "code", "client_id": self.challenge["client-id"], "redirect_uri": redirect,
            "scope": self.challenge["scope"], "state": state, "login_hint": self.o.user})
        end = Session(self.o.ca).sign_in(url, self.o.user, self.o.password)
        same((end.address, set(end.values)), (redirect, {"code", "state"}), "hand-back")
        same(end.values["state"], state, "state")
        response, content = self.request({"grant_type": "authorization_code", "code": end.values["code"], "redirect_uri": redirect})
        self.take(response, content)

    def request(self, parameters):
        """A token request of a public client (RFC 6749, section 3.2)."""
        return self.web.answer(self.challenge["token-url"], **form_post({**parameters, "client_id": self.challenge["client-id"]}))

    def take(self, response, content):
        same((response.status, response.headers.get_content_type()), (200, "application/json"), "token response")
        same(response.headers["Cache-Control"], "no-store", "Cache-Control of the token response")
        document = json.loads(content)
        same(set(document), {"access_token", "token_type", "expires_in", "refresh_token", "scope"}, "token response")
        same(document["token_type"].lower(), "bearer", "token_type")
        require(document["expires_in"] > 0, "expires_in")
        self.access, self.refresh_token = document["access_token"], document["refresh_token"]

    def refresh(self):
        response, content = self.request({"grant_type": "refresh_token", "refresh_token": self.refresh_token})
        self.take(response, content)

    def refuse(self, refresh_token):
        """Presents a refresh token that must be refused (RFC 6749, section 5.2)."""
        response, content = self.request({"grant_type": "refresh_token", "refresh_token": refresh_token})
        same((response.status, response.headers.get_content_type()), (400, "application/json"), "refusal of a refresh token")
        same(json.loads(content)["error"], "invalid_grant", "error")


class Managed(Phone):
    """The phone of an account: each request bears the token."""

    def __init__(self, tokens, device_enrollment, *rest):
        super().__init__(*rest)
        self.tokens, self.device_enrollment, self.system = tokens, device_enrollment, dict(SYSTEM)
        if device_enrollment:
            self.enrollment_id = f"{secrets.randbits(32):08X}-{secrets.randbits(64):016X}"
            self.system["SerialNumber"] = secrets.token_hex(5).upper()

    def named(self):
        return {"UDID": self.enrollment_id} if self.device_enrollment else super().named()

    def message(self, kind, message):
        request = super().message(kind, message)
        if self.tokens.access:
            request["headers"].update(self.tokens.header())
        return request

    def challenged(self, token):
        """The challenge that an Idle with this token, or none, is answered."""
        former, self.tokens.access = self.tokens.access, token
        response, content = self.web.answer(self.mdm["ServerURL"], **self.message(CONNECT, {"Status": "Idle"}))
        self.tokens.access = former
        return challenge_of(response, content)


def get_profile(tokens, server, body):
    """Both enrollment POSTs, with the sign-in between them."""
    def post(headers):
        return tokens.web.answer(server["BaseURL"], body=body, headers={"Content-Type": "application/pkcs7-signature", **headers})

    tokens.sign_in(challenge_of(*post({})))
    same(challenge_of(*post({"Authorization": "Bearer unknown"}))["method"], tokens.challenge["method"], "challenge to an unknown token")
    profiles = []
    for _ in range(2):  # what a device does whose Authenticate failed
        response, signed = post(tokens.header())
        same((response.status, response.headers["Content-Type"]), (200, "application/x-apple-aspen-config"), "enrollment profile")
        profiles.append(signed)
    return profiles[-1]


def sign_in_again(phone, tokens):
    """What becomes of tokens: refreshed, stolen, refused, and replaced by signing in again."""
    first = tokens.access
    same(phone.challenged(None)["method"], tokens.challenge["method"], "challenge to no token")
    if tokens.refresh_token:
        former = tokens.refresh_token
        tokens.refresh()
        require(tokens.access != first and tokens.refresh_token != former, "tokens were not rotated")
        same(phone.connect(), 0, "commands with the refreshed token")
        tokens.refuse(former)
        phone.challenged(tokens.access)  # the reuse ended the whole grant
    second = tokens.access
    tokens.sign_in(phone.challenged("A" * 43))
    require(tokens.access not in (first, second), "signing in again gave the same token")
    same(phone.connect(), 0, "commands after signing in again")
    phone.challenged(first)
    phone.challenged(second)


def run(o):
    openssl, tokens = OpenSSL(o.work), Tokens(o)
    server = discover(tokens.web, o.site, o.user)
    mode, keys = WAYS[server["Version"]]
    body = machine_information(o.device_ca, openssl, o.signature)
    profile = openssl.write("enroll.mobileconfig", get_profile(tokens, server, body))
    mdm, identity = check(profile, o.ca, openssl, keys)
    same(mdm["EnrollmentMode"], mode, "EnrollmentMode")

    web = Web(o.ca, "MDM/1.0", cookies=False)
    certificate = get_identity(web, identity, openssl)
    phone = Managed(tokens, mode == "ADDE", web, mdm, certificate, SIGNATURES[o.signature], openssl, o.ca)
    did = story(phone)
    sign_in_again(phone, tokens)
    return {"managed_apple_account": mdm["AssignedManagedAppleID"], "enrollment_mode": mode, "method": tokens.challenge["method"], **did}


def main():
    parser = argparse.ArgumentParser(description="An iPhone that enrolls from Settings.")
    parser.add_argument("--ca", required=True, help="file of the authority that TLS and profiles are trusted by")
    parser.add_argument("--device-ca", required=True, help="files of the simulated device CA, without .pem and .key")
    parser.add_argument("--work", required=True, help="directory of the device's files")
    parser.add_argument("--site", required=True, help="web site of the user's domain")
    parser.add_argument("--user", required=True)
    parser.add_argument("--password", required=True)
    parser.add_argument("--signature", choices=list(SIGNATURES), default="captured", help="shape of what the device signs")
    tell(run, parser.parse_args())


if __name__ == "__main__":
    main()
