"""Logs in with a Kerberos ticket: kerberos.py imap|pop PORT GSSAPI|GSS-SPNEGO early|late [NAME].

NAME is whom to be; without it, it is the ticket's owner. Prints the server's last word.
`KRB5CCNAME` names the ticket, `KRB5_CONFIG` the realm.
"""

import base64
import socket
import sys

import gssapi
from gssapi.raw import OID

MECHANISMS = {"GSSAPI": OID.from_int_seq("1.2.840.113554.1.2.2"), "GSS-SPNEGO": OID.from_int_seq("1.3.6.1.5.5.2")}


def main(service, port, mechanism, when, authorize=""):
    connection = socket.create_connection(("127.0.0.1", int(port)), timeout=60)
    lines = connection.makefile("rb")
    lines.readline()
    target = gssapi.Name(f"{service}@localhost", gssapi.NameType.hostbased_service)
    context = gssapi.SecurityContext(name=target, mech=MECHANISMS[mechanism], usage="initiate")
    first = context.step()
    verb, tag = ("a AUTHENTICATE", "a ") if service == "imap" else ("AUTH", "")
    initial = " " + base64.b64encode(first).decode() if when == "early" else ""
    connection.sendall(f"{verb} {mechanism}{initial}\r\n".encode())
    to_send = first if when == "late" else None
    while True:
        line = lines.readline().decode().rstrip("\r\n")
        if not line.startswith("+ "):
            if line.startswith("* "):
                continue
            print(line.removeprefix(tag))
            return
        challenge = base64.b64decode(line[2:])
        if to_send is not None:
            answer, to_send = to_send, None
        elif not context.complete:
            answer = context.step(challenge) or b""
        else:
            offer = context.unwrap(challenge).message
            assert offer[0] & 1, f"no layer is not offered: {offer!r}"
            answer = context.wrap(b"\x01\0\0\0" + authorize.encode(), False).message
        connection.sendall(base64.b64encode(answer) + b"\r\n")


main(*sys.argv[1:])
