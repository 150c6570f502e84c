# IDLE: news is told at once.
open A
A> a SELECT INBOX
A<? * FLAGS *
A<? * OK [PERMANENTFLAGS *
A<? * 0 EXISTS
A<? * 0 RECENT
A<? * OK [UIDVALIDITY *
A<? * OK [UIDNEXT 1] *
A<? a OK [READ-WRITE] *
A> b IDLE
A< + idling
open B
B~ x APPEND INBOX {3+}\r\nabc\r\n
B< x OK *
news A
A< * 1 EXISTS
A< * 1 RECENT
A> DONE
A< b OK Idle completed (* secs).
A> c IDLE
A< + idling
A> NOOP
A< c BAD Expected DONE (* secs).
