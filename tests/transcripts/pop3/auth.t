# The authorization state: CAPA, AUTH (RFC 1734, RFC 5034), USER and PASS out of turn.
open A pop3
A< +OK *
A> CAPA
A< +OK
A< CAPA
A< TOP
A< UIDL
A< RESP-CODES
A< PIPELINING
A< AUTH-RESP-CODE
A< STLS
A< USER
A< SASL PLAIN LOGIN
A< .
A> AUTH
A< +OK
A< PLAIN
A< LOGIN
A< .
A> AUTH FOO
A< -ERR [AUTH] Unsupported authentication mechanism.
A> STAT
A< -ERR Unknown command.
A> PASS x
A< -ERR No username given.
A> USER
A< +OK
A> NOOP
A< -ERR Unknown command.
A> QUIT
A< +OK Logging out
eof A
open B pop3
B< +OK *
B> AUTH PLAIN
B< + 
B> *
B< -ERR Authentication aborted by client.
B> AUTH PLAIN AGF1dGgAcGFzcw==
B< +OK Logged in.
B> STAT
B< +OK 0 0
B> QUIT
B< +OK Logging out.
eof B
