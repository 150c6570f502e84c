# COPY and MOVE.
open A
A~ a APPEND INBOX (\\Flagged kw) {3+}\r\nabc {4+}\r\ndefg\r\n
A< a OK *
A> b CREATE x
A< b OK Create completed (* secs).
A> c SELECT INBOX
A<? * FLAGS *
A<? * OK [PERMANENTFLAGS *
A<? * 2 EXISTS
A<? * 2 RECENT
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
A> g COPY 1 INBOX
A< * 3 EXISTS
A< * 3 RECENT
A< g OK [COPYUID * 1 3] Copy completed (* secs).
A> h MOVE 1 x
A< * OK [COPYUID $x 1 3] Moved UIDs.
A< * 1 EXPUNGE
A< * 2 RECENT
A< h OK Move completed (* secs).
A> i UID MOVE 3 x
A< * OK [COPYUID $x 3 4] Moved UIDs.
A< * 2 EXPUNGE
A< * 1 RECENT
A< i OK Move completed (* secs).
A> j SELECT x
A< * OK [CLOSED] Previous mailbox closed.
A<? * FLAGS (\Answered \Flagged \Deleted \Seen \Draft kw)
A<? * OK [PERMANENTFLAGS *
A<? * 4 EXISTS
A<? * 4 RECENT
A<? * OK [UNSEEN 1] *
A<? * OK [UIDVALIDITY $x] *
A<? * OK [UIDNEXT 5] *
A<? j OK [READ-WRITE] *
A> k FETCH 1:* (FLAGS RFC822.SIZE)
A< * 1 FETCH (FLAGS (\Flagged \Recent kw) RFC822.SIZE 3)
A< * 2 FETCH (FLAGS (\Recent) RFC822.SIZE 4)
A< * 3 FETCH (FLAGS (\Flagged \Recent kw) RFC822.SIZE 3)
A< * 4 FETCH (FLAGS (\Flagged \Recent kw) RFC822.SIZE 3)
A< k OK *
