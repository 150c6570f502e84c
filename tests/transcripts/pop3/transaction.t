# Every command of the transaction state (RFC 1939 §5, §7), with its wrong forms.
open I imap
I< * OK *
I> l LOGIN $user pass
I< l OK [CAPABILITY IMAP4rev1 *] Logged in
I> a0 APPEND INBOX {19+}
I~ Subject: 1\r\n\r\none\r\n\r\n
I< a0 OK *
I> a1 APPEND INBOX {44+}
I~ Subject: 2\r\nX: y\r\n\r\n.dot\r\n..two\r\nthree\r\nlast\r\n
I< a1 OK *
I> a2 APPEND INBOX {17+}
I~ Subject: 3\r\n\r\nx\r\n\r\n
I< a2 OK *
close I
open A pop3
A< +OK *
A> USER $user
A< +OK
A> PASS pass
A< +OK Logged in.
A> STAT
A< +OK 3 80
A> LIST
A< +OK 3 messages:
A< 1 19
A< 2 44
A< 3 17
A< .
A> LIST 2
A< +OK 2 44
A> LIST 0
A< -ERR There's no message 0.
A> LIST 9
A< -ERR There's no message 9.
A> LIST x
A< -ERR Invalid message number: x
A> UIDL
A< +OK
A< 1 *
A< 2 *
A< 3 *
A< .
A> UIDL 2
A< +OK 2 *
A> UIDL 9
A< -ERR There's no message 9.
A> RETR 2
A< +OK 44 octets
A< Subject: 2
A< X: y
A<
A< ..dot
A< ...two
A< three
A< last
A< .
A> RETR
A< -ERR Invalid message number: 
A> RETR 9
A< -ERR There's no message 9.
A> TOP 2 0
A< +OK
A< Subject: 2
A< X: y
A<
A< .
A> TOP 2 2
A< +OK
A< Subject: 2
A< X: y
A<
A< ..dot
A< ...two
A< .
A> TOP 2
A< -ERR Noise after message number: 
A> TOP 9 1
A< -ERR There's no message 9.
A> NOOP
A< +OK
A> LAST
A< -ERR Unknown command: LAST
A> DELE 1
A< +OK Marked to be deleted.
A> DELE 1
A< -ERR Message is deleted.
A> RETR 1
A< -ERR Message is deleted.
A> LIST 1
A< -ERR Message is deleted.
A> LIST
A< +OK 2 messages:
A< 2 44
A< 3 17
A< .
A> UIDL
A< +OK
A< 2 *
A< 3 *
A< .
A> STAT
A< +OK 2 61
A> RSET
A< +OK
A> STAT
A< +OK 3 80
A> DELE 3
A< +OK Marked to be deleted.
A> STLS
A< -ERR Unknown command: STLS
A> USER x
A< -ERR Unknown command: USER
A> FOO
A< -ERR Unknown command: FOO
A> CAPA
A< +OK
A< CAPA
A< TOP
A< UIDL
A< RESP-CODES
A< PIPELINING
A< AUTH-RESP-CODE
A< .
A> QUIT
A< +OK Logging out, messages deleted.
eof A
open B pop3
B< +OK *
B> USER $user
B< +OK
B> PASS pass
B< +OK Logged in.
B> STAT
B< +OK 2 63
B> LIST
B< +OK 2 messages:
B< 1 19
B< 2 44
B< .
B> DELE 1
B< +OK Marked to be deleted.
close B
open C pop3
C< +OK *
C> USER $user
C< +OK
C> PASS pass
C< +OK Logged in.
C> STAT
C< +OK 2 63
C> QUIT
C< +OK Logging out.
eof C
