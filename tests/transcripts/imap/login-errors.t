# What a stranger gets for mistakes (RFC 3501 §6.2).
open A imap
A< * OK *
A> a LOGIN $user wrong
A< a NO [AUTHENTICATIONFAILED] Authentication failed.
A> b LOGIN nobody pass
A< b NO [AUTHENTICATIONFAILED] Authentication failed.
A> c AUTHENTICATE FOO
A< c NO *
A> d AUTHENTICATE PLAIN
A< + *
A> *
A< d BAD Authentication aborted by client.
A> e LOGIN $user pass
A< e OK [CAPABILITY IMAP4rev1 *] Logged in
close A

# Three commands that make no sense end the connection.
open B imap
B< * OK *
B> a
B< a BAD Error in IMAP command received by server.
B> a LOGIN
B< a BAD Error in IMAP command received by server.
B> a LOGIN x
B< * BYE Too many invalid IMAP commands.
eof B

# The ways to give a name and password.
open C imap
C< * OK *
C> a LOGIN {8}
C< + OK
C~ nosuchus {4+}\r\npass\r\n
C< a NO [AUTHENTICATIONFAILED] Authentication failed.
C> b AUTHENTICATE PLAIN AG5vc3VjaABwYXNz
C< b NO [AUTHENTICATIONFAILED] Authentication failed.
C> c AUTHENTICATE LOGIN
C< + VXNlcm5hbWU6
C> bm9zdWNo
C< + UGFzc3dvcmQ6
C> cGFzcw==
C< c NO [AUTHENTICATIONFAILED] Authentication failed.
close C
