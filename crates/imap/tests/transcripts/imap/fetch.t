# FETCH of every kind of item, of a message that is stored with LF.
open A
A~ a APPEND INBOX "01-Jan-2020 10:00:00 +0000" {56+}\r\nSubject: hi\nFrom: A <a@b.c>\nX: 1\n\nbody line\nsecond line\n\r\n
A< a OK *
A> b SELECT INBOX
A<? * FLAGS *
A<? * OK [PERMANENTFLAGS *
A<? * 1 EXISTS
A<? * 1 RECENT
A<? * OK [UNSEEN 1] *
A<? * OK [UIDVALIDITY *
A<? * OK [UIDNEXT 2] *
A<? b OK [READ-WRITE] *
A> c FETCH 1 (UID RFC822.SIZE BODY)
A< * 1 FETCH (UID 1 RFC822.SIZE 62 BODY ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 24 2))
A< c OK Fetch completed (* secs).
A> d FETCH 1 ENVELOPE
A< * 1 FETCH (ENVELOPE (NIL "hi" (("A" NIL "a" "b.c")) (("A" NIL "a" "b.c")) (("A" NIL "a" "b.c")) NIL NIL NIL NIL NIL))
A< d OK *
A> e FETCH 1 (BODY.PEEK[HEADER.FIELDS (Subject X)] BODY.PEEK[TEXT]<5.8>)
A< * 1 FETCH (BODY[HEADER.FIELDS (SUBJECT X)] {21}
A< Subject: hi
A< X: 1
A< 
A<  BODY[TEXT]<5> {8}
A< line
A< se)
A< e OK *
# Reading sets \Seen, once, and tells so.
A> f FETCH 1 BODY[TEXT]
A< * 1 FETCH (FLAGS (\Seen \Recent) BODY[TEXT] {24}
A< body line
A< second line
A< )
A< f OK *
A> g FETCH 1 (RFC822.TEXT)
A< * 1 FETCH (RFC822.TEXT {24}
A< body line
A< second line
A< )
A< g OK *
A> h FETCH 1 (BODY[1] BODY[2] BODY[]<1000.5>)
A< * 1 FETCH (BODY[1] {24}
A< body line
A< second line
A<  BODY[2] {0}
A<  BODY[]<1000> {0}
A< )
A< h OK *
A> i FETCH 1 RFC822.HEADER
A< * 1 FETCH (RFC822.HEADER {38}
A< Subject: hi
A< From: A <a@b.c>
A< X: 1
A< 
A< )
A< i OK *
A> j UID FETCH 1:* FLAGS
A< * 1 FETCH (UID 1 FLAGS (\Seen \Recent))
A< j OK *
A> k UID FETCH 99 FLAGS
A< k OK Fetch completed (* secs).
A> l FETCH 1 (FLAGS FLAGS UID)
A< * 1 FETCH (FLAGS (\Seen \Recent) UID 1)
A< l OK *
A> m FETCH 1 FOO
A< m BAD Error in IMAP command FETCH: Unknown parameter: FOO (* secs).
