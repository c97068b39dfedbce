"""The device's side of SCEP (RFC 8894)."""

import secrets
import time
import urllib.parse
import uuid

from der import (DATA, RSA, SHA256, SHA256_WITH_RSA, SIGNED_DATA, bits, element, integer, octets, oid,
                 printable, require, same, sequence, set_of, signer_of, tlv, utc, utf8)

CONTENT_TYPE, MESSAGE_DIGEST = oid("1.2.840.113549.1.9.3"), oid("1.2.840.113549.1.9.4")
SIGNING_TIME, CHALLENGE_PASSWORD = oid("1.2.840.113549.1.9.5"), oid("1.2.840.113549.1.9.7")
ATTRIBUTES = {"C": oid("2.5.4.6"), "L": oid("2.5.4.7"), "ST": oid("2.5.4.8"),
              "O": oid("2.5.4.10"), "OU": oid("2.5.4.11"), "CN": oid("2.5.4.3")}


def scep(n):
    """A signed attribute of RFC 8894, section 3.2.1."""
    return oid(f"2.16.840.1.113733.1.9.{n}")


MESSAGE_TYPE, PKI_STATUS, FAIL_INFO = scep(2), scep(3), scep(4)
SENDER_NONCE, RECIPIENT_NONCE, TRANSACTION_ID = scep(5), scep(6), scep(7)


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
