# A POP3 session (RFC 1939). The messages come in by IMAP.
open A imap
A< * OK *
A> l LOGIN $user pass
A< l OK [CAPABILITY IMAP4rev1 *] Logged in
A> a APPEND INBOX {17+}
A~ Subject: x\r\n\r\na\r\n\r\n
A< a OK *
A> b APPEND INBOX {21+}
A~ Subject: y\r\n\r\n.dot\r\nb\r\n
A< b OK *
close A
open P pop3
P< +OK *ready.
P> CAPA
P< +OK
P< CAPA
P< TOP
P< UIDL
P< RESP-CODES
P< PIPELINING
P< AUTH-RESP-CODE
P< STLS
P< USER
P< SASL PLAIN LOGIN
P< .
P> USER $user
P< +OK
P> PASS wrong
P< -ERR [AUTH] Authentication failed.
P> USER $user
P< +OK
P> PASS pass
P< +OK Logged in.
P> STAT
P< +OK 2 38
P> LIST
P< +OK 2 messages:
P< 1 17
P< 2 21
P< .
P> UIDL
P< +OK
P< 1 $first
P< 2 $second
P< .
P> UIDL 2
P< +OK 2 $second
P> RETR 2
P< +OK 21 octets
P< Subject: y
P<
P< ..dot
P< b
P< .
P> TOP 1 0
P< +OK
P< Subject: x
P<
P< .
P> DELE 1
P< +OK Marked to be deleted.
P> RETR 1
P< -ERR Message is deleted.
P> STAT
P< +OK 1 21
P> RSET
P< +OK
P> DELE 2
P< +OK Marked to be deleted.
P> LAST
P< -ERR Unknown command: LAST
P> RETR 9
P< -ERR There's no message 9.
P> QUIT
P< +OK Logging out, messages deleted.
eof P
open Q pop3s
Q< +OK *ready.
Q~ USER $user\r\nPASS pass\r\nSTAT\r\nUIDL\r\nQUIT\r\n
Q< +OK
Q< +OK Logged in.
Q< +OK 1 17
Q< +OK
Q< 1 $first
Q< .
Q< +OK Logging out.
eof Q
