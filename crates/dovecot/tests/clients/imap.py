"""Reads, searches, appends, flags, copies, moves and expunges with imaplib.

imap.py MODE PORT CERTIFICATE USER, where MODE is plain, starttls or tls.
"""
import imaplib
import ssl
import sys

mode, port, certificate, user = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
context = ssl.create_default_context(cafile=certificate)
if mode == "tls":
    imap = imaplib.IMAP4_SSL("localhost", port, ssl_context=context)
else:
    imap = imaplib.IMAP4("localhost", port)
    if mode == "starttls":
        imap.starttls(context)


def ok(answer):
    status, data = answer
    assert status == "OK", answer
    return data


def flags(uid):
    data = ok(imap.uid("FETCH", uid, "(FLAGS)"))
    return {flag.decode() for flag in imaplib.ParseFlags(data[0])} - {"\\Recent"}


ok(imap.login(user, "pass"))
ok(imap.create("work"))
ok(imap.create('"Entw&APw-rfe"'))
ok(imap.subscribe("work"))
assert any(b"&APw-" in line for line in ok(imap.list()))
assert [line.split()[-1] for line in ok(imap.lsub())] == [b"work"]

date = '"03-Mar-2021 10:00:00 +0000"'
first = b"From: ann@example.com\r\nSubject: first\r\n\r\nneedle\r\n"
second = "From: bob@example.com\r\nSubject: zweite Gr\u00fc\u00dfe\r\n\r\nhay\r\n".encode()
ok(imap.append("INBOX", r"(\Seen kept)", date, first))
ok(imap.append("INBOX", None, None, second))
assert ok(imap.select()) == [b"2"]
assert ok(imap.uid("SEARCH", None, "BODY", "needle")) == [b"1"]
assert ok(imap.uid("SEARCH", None, "UNSEEN", "FROM", "bob")) == [b"2"]
assert flags("1") == {"\\Seen", "kept"}, flags("1")
data = ok(imap.uid("FETCH", "1", "(INTERNALDATE BODY.PEEK[])"))
assert data[0][1] == first and date.encode() in data[0][0], data
assert b'"first"' in ok(imap.uid("FETCH", "1", "(ENVELOPE)"))[0]

ok(imap.uid("STORE", "2", "+FLAGS", r"(\Flagged new-one)"))
ok(imap.uid("STORE", "1", "-FLAGS.SILENT", "(kept)"))
assert flags("2") == {"\\Flagged", "new-one"} and flags("1") == {"\\Seen"}
ok(imap.uid("COPY", "1:2", "work"))
ok(imap.uid("MOVE", "2", '"Entw&APw-rfe"'))
ok(imap.uid("STORE", "1", "+FLAGS", r"(\Deleted)"))
# What MOVE told may come with it.
assert ok(imap.expunge())[-1] == b"1"
assert ok(imap.uid("SEARCH", None, "ALL")) in ([b""], [None])
ok(imap.close())
assert ok(imap.select("work", readonly=True)) == [b"2"]
assert flags("2") == {"\\Flagged", "new-one"}
assert ok(imap.status('"Entw&APw-rfe"', "(MESSAGES)")) == [b"Entw&APw-rfe (MESSAGES 1)"]
ok(imap.rename("work", "done"))
ok(imap.unselect())
ok(imap.delete("done"))
assert imap.logout()[0] == "BYE"
