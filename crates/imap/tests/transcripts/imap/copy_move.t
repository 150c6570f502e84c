# COPY and MOVE.
open A
A~ a APPEND INBOX (\\Flagged kw) {3+}\r\nabc {4+}\r\ndefg\r\n
A< a OK *
A> b CREATE x
A< b OK Create completed (* secs).
# Another session has seen them first, so that none is recent here.
open Z
Z> a SELECT INBOX
Z<? * FLAGS *
Z<? * OK [PERMANENTFLAGS *
Z<? * 2 EXISTS
Z<? * * RECENT
Z<? * OK [UNSEEN *
Z<? * OK [UIDVALIDITY *
Z<? * OK [UIDNEXT *
Z<? a OK *
Z> b UNSELECT
Z< b OK *
A> c SELECT INBOX
A<? * FLAGS *
A<? * OK [PERMANENTFLAGS *
A<? * 2 EXISTS
A<? * 0 RECENT
A<? * OK [UNSEEN 1] *
A<? * OK [UIDVALIDITY *
A<? * OK [UIDNEXT 3] *
A<? c OK [READ-WRITE] *
A> d COPY 1 nope
A< d NO [TRYCREATE] Mailbox doesn't exist: nope (* secs).
A> e COPY 1:2 x
A< e OK [COPYUID $x 1:2 1:2] Copy completed (* secs).
A> f UID COPY 55 x
A< f OK No messages found (* secs).
A> g COPY 2 INBOX
A< * 3 EXISTS
A< * 1 RECENT
A< g OK [COPYUID * 2 3] Copy completed (* secs).
A> h MOVE 1 x
A< * OK [COPYUID $x 1 3] Moved UIDs.
A< * 1 EXPUNGE
A< h OK Move completed (* secs).
A> i UID MOVE 3 x
A< * OK [COPYUID $x 3 4] Moved UIDs.
A< * 2 EXPUNGE
A< * 0 RECENT
A< i OK Move completed (* secs).
# The other session has seen them first, so that none is recent here.
Z> a SELECT x
Z<? * FLAGS *
Z<? * OK [PERMANENTFLAGS *
Z<? * 4 EXISTS
Z<? * * RECENT
Z<? * OK [UNSEEN *
Z<? * OK [UIDVALIDITY *
Z<? * OK [UIDNEXT *
Z<? a OK *
Z> b UNSELECT
Z< b OK *
A> j SELECT x
A< * OK [CLOSED] Previous mailbox closed.
A<? * FLAGS (\Answered \Flagged \Deleted \Seen \Draft kw)
A<? * OK [PERMANENTFLAGS *
A<? * 4 EXISTS
A<? * 0 RECENT
A<? * OK [UNSEEN 1] *
A<? * OK [UIDVALIDITY $x] *
A<? * OK [UIDNEXT 5] *
A<? j OK [READ-WRITE] *
A> k FETCH 1:* (FLAGS RFC822.SIZE)
A< * 1 FETCH (FLAGS (\Flagged kw) RFC822.SIZE 3)
A< * 2 FETCH (FLAGS () RFC822.SIZE 4)
A< * 3 FETCH (FLAGS (\Flagged kw) RFC822.SIZE 3)
A< * 4 FETCH (FLAGS () RFC822.SIZE 4)
A< k OK *
