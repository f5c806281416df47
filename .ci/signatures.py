#!/usr/bin/env python3
# /// script
# requires-python = ">=3.9"
# dependencies = ["standardwebhooks==1.1.0", "stripe==16.1.0"]
# ///
"""Checks our signatures with the Python libraries that receivers use, and lets those libraries sign for our tests.

    signatures.py [--check]   verify every vector, and compare vectors_python.json with what the libraries sign now
    signatures.py --write     verify every vector, and renew vectors_python.json

The libraries named above must be importable. No clock matters: both libraries are shown each vector's own time.
"""

import argparse
import base64
import contextlib
import datetime as datetimes
import json
import pathlib
import sys
import unittest.mock

import standardwebhooks
import standardwebhooks.webhooks
import stripe

SIGNING = pathlib.Path(__file__).resolve().parent.parent / "crates" / "signing"
VECTORS = SIGNING / "vectors.json"
MADE_BY_PYTHON = SIGNING / "vectors_python.json"
TOLERANCE_SECONDS = 300


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    mode = arguments.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="compare, write nothing (the default)")
    mode.add_argument("--write", action="store_true", help="renew vectors_python.json")
    chosen = arguments.parse_args()

    vectors = json.loads(VECTORS.read_text(encoding="utf-8"))["vectors"]
    verified = sum(verify(vector) for vector in vectors)
    signed = render([signed_by_python(vector) for vector in vectors])
    if chosen.write:
        MADE_BY_PYTHON.write_text(signed, encoding="utf-8")
    elif MADE_BY_PYTHON.read_text(encoding="utf-8") != signed:
        sys.exit(f"{MADE_BY_PYTHON.name} is not what the libraries sign: renew it with --write and look at the change")
    print(f"signatures: {len(vectors)} vectors, {verified} verifications by standardwebhooks and stripe, all as expected")


def verify(vector):
    """Every secret of a vector must verify both headers, and must refuse them over another body."""
    body, changed = vector["body"], vector["body"] + " "
    for secret in vector["secrets"]:
        with time_stands_at(vector["timestamp"]):
            standard = standard_webhook(secret)
            headers = {
                "webhook-id": vector["webhook_id"],
                "webhook-timestamp": str(vector["timestamp"]),
                "webhook-signature": vector["webhook_signature"],
            }
            standard.verify(body, headers, json_parse=False)
            refuses(
                standardwebhooks.WebhookVerificationError,
                lambda: standard.verify(changed, headers, json_parse=False),
                vector["name"],
            )
            header = vector["stripe_signature"]
            stripe.WebhookSignature.verify_header(body, header, secret, TOLERANCE_SECONDS)
            refuses(
                stripe.SignatureVerificationError,
                lambda: stripe.WebhookSignature.verify_header(changed, header, secret, TOLERANCE_SECONDS),
                vector["name"],
            )
    return 4 * len(vector["secrets"])


def signed_by_python(vector):
    """The vector's call as each library signs it, once per secret."""
    moment = datetimes.datetime.fromtimestamp(vector["timestamp"], tz=datetimes.timezone.utc)
    made = []
    for secret in vector["secrets"]:
        signature = standard_webhook(secret).sign(vector["webhook_id"], moment, vector["body"])
        header = stripe.WebhookSignature.generate_signature_header(
            vector["body"], secret, timestamp=vector["timestamp"]
        )
        made.append({"secret": secret, "stripe_signature": header, "webhook_signature": signature})
    call = {name: vector[name] for name in ("name", "webhook_id", "timestamp", "body")}
    return {**call, "signed": made}


def standard_webhook(secret):
    """The library takes base64, or a key as bytes: a secret that is its own key goes in as bytes."""
    return standardwebhooks.Webhook(secret if is_whsec(secret) else secret.encode())


def is_whsec(secret):
    if not secret.startswith("whsec_"):
        return False
    encoded = secret[len("whsec_") :]
    try:
        return base64.b64encode(base64.b64decode(encoded, validate=True)).decode() == encoded
    except ValueError:
        return False


@contextlib.contextmanager
def time_stands_at(unix):
    """Both libraries compare a timestamp with the clock; here the clock shows that timestamp."""

    class Standing(datetimes.datetime):
        @classmethod
        def now(cls, tz=None):
            return cls.fromtimestamp(unix, tz=tz)

    library_clock = unittest.mock.patch.object(standardwebhooks.webhooks, "datetime", Standing)
    with library_clock, unittest.mock.patch("time.time", lambda: float(unix)):
        yield


def refuses(error, call, name):
    try:
        call()
    except error:
        return
    sys.exit(f"{name}: a changed body was accepted")


def render(calls):
    about = "Signatures made by Python's standardwebhooks and stripe over the calls of vectors.json (.ci/signatures.py)."
    return json.dumps({"about": about, "vectors": calls}, indent=2, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    main()
