# Before login.
open A pop3
A< +OK *ready.
A> FOO
A< -ERR Unknown command.
A> STAT
A< -ERR Unknown command.
A> QUIT
A< +OK Logging out
eof A
open B pop3
B< +OK *ready.
B> PASS x
B< -ERR No username given.
B> AUTH
B< +OK
B< PLAIN
B< LOGIN
B< .
B> AUTH FOO
B< -ERR [AUTH] Unsupported authentication mechanism.
B> APOP a b
B< -ERR APOP not enabled.
close B
open C pop3
C< +OK *ready.
C> STLS
C< +OK Begin TLS negotiation now.
starttls C
C> USER $user
C< +OK
C> PASS pass
C< +OK Logged in.
C> NOOP
C< +OK
C> QUIT
C< +OK Logging out.
eof C
