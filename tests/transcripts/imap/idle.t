# IDLE (RFC 2177): what another session does arrives by itself.
open A imap
A< * OK *
A> l LOGIN $user pass
A< l OK [CAPABILITY IMAP4rev1 *] Logged in
A> a SELECT INBOX
A<? * FLAGS *
A<? * OK [PERMANENTFLAGS *
A<? * 0 EXISTS
A<? * 0 RECENT
A<? * OK [UIDVALIDITY *
A<? * OK [UIDNEXT 1] *
A< a OK [READ-WRITE] Select completed (*
A> b IDLE
A< + idling
open B imap
B< * OK *
B> l LOGIN $user pass
B< l OK [CAPABILITY IMAP4rev1 *] Logged in
B> a APPEND INBOX {12+}
B~ Subject: 1\r\n\r\n
B< a OK [APPENDUID *
A< * 1 EXISTS
A< * 1 RECENT
A> DONE
A< b OK Idle completed (*
close A
close B
