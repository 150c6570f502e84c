"""Lists, reads and deletes with poplib.

pop3.py MODE PORT CERTIFICATE USER COUNT, where MODE is plain, starttls or tls, and COUNT messages
are there.
"""
import poplib
import ssl
import sys

mode, port, certificate, user, count = sys.argv[1], int(sys.argv[2]), *sys.argv[3:5], int(sys.argv[5])
context = ssl.create_default_context(cafile=certificate)


def login():
    if mode == "tls":
        pop = poplib.POP3_SSL("localhost", port, context=context)
    else:
        pop = poplib.POP3("localhost", port)
        if mode == "starttls":
            pop.stls(context)
    capabilities = pop.capa()
    assert {"TOP", "UIDL", "PIPELINING", "RESP-CODES"} <= set(capabilities), capabilities
    pop.user(user)
    pop.pass_("pass")
    return pop


pop = login()
messages, octets = pop.stat()
assert messages == count, messages
sizes = [int(line.split()[1]) for line in pop.list()[1]]
assert sum(sizes) == octets and len(sizes) == count
uidls = [line.split()[1] for line in pop.uidl()[1]]
assert len(set(uidls)) == count
for number in range(1, count + 1):
    response, lines, size = pop.retr(number)
    assert f"Subject: {number}".encode() in lines and size == sizes[number - 1], lines
# A line that begins with a dot comes through as it was.
assert b".dot" in pop.retr(1)[1]
assert pop.top(1, 0)[1][-1] == b""
pop.dele(1)
pop.rset()
pop.dele(count)
pop.quit()

pop = login()
assert pop.stat()[0] == count - 1
assert [line.split()[1] for line in pop.uidl()[1]] == uidls[:-1]
pop.quit()
