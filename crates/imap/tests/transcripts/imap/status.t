# STATUS.
open A
A~ a APPEND INBOX (\\Seen) {4+}\r\nabc\n {4+}\r\ndef\n\r\n
A< a OK [APPENDUID $v 1:2] *
A> b STATUS INBOX (MESSAGES UIDNEXT UIDVALIDITY UNSEEN SIZE)
A< * STATUS INBOX (MESSAGES 2 UIDNEXT 3 UIDVALIDITY $v UNSEEN 1 SIZE 10)
A< b OK Status completed (* secs).
A> c STATUS nope (MESSAGES)
A< c NO Mailbox doesn't exist: nope (* secs).
A> d STATUS INBOX (FOO)
A< d BAD Error in IMAP command STATUS: Invalid status item FOO (* secs).
A> e EXAMINE INBOX
A<? * FLAGS *
A<? * OK [PERMANENTFLAGS *
A<? * 2 EXISTS
A<? * * RECENT
A<? * OK [UNSEEN 2] *
A<? * OK [UIDVALIDITY *
A<? * OK [UIDNEXT 3] *
A<? e OK [READ-ONLY] *
A> f STATUS inbox (MESSAGES)
A< * STATUS inbox (MESSAGES 2)
A< f OK [CLIENTBUG] Status on selected mailbox completed (* secs).
