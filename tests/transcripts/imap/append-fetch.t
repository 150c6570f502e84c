# A message goes in and comes out again, whole and in parts (RFC 3501 §6.3.11, §6.4.5; RFC 4315 §3).
open A imap
A< * OK *
A> l LOGIN $user pass
A< l OK [CAPABILITY IMAP4rev1 *] Logged in
A> a APPEND INBOX (\Seen $Work) "05-Jun-2020 12:34:56 +0200" {96+}
A~ From: Ann <ann@example.com>\r\nSubject: hello\r\nMessage-ID: <1@example.com>\r\n\r\nfirst line\r\nsecond\r\n\r\n
A< a OK [APPENDUID $validity 1] Append completed (*
A> b SELECT INBOX
A<? * FLAGS (\Answered \Flagged \Deleted \Seen \Draft $Work)
A<? * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft $Work \*)] Flags permitted.
A<? * 1 EXISTS
A<? * * RECENT
A<? * OK [UIDVALIDITY $validity] UIDs valid
A<? * OK [UIDNEXT 2] Predicted next UID
A< b OK [READ-WRITE] Select completed (*
A> c FETCH 1 (UID FLAGS INTERNALDATE RFC822.SIZE)
A< * 1 FETCH (UID 1 FLAGS (\Seen *$Work) INTERNALDATE "05-Jun-2020 10:34:56 +0000" RFC822.SIZE 96)
A< c OK Fetch completed (*
A> d FETCH 1 ENVELOPE
A< * 1 FETCH (ENVELOPE (NIL "hello" (("Ann" NIL "ann" "example.com")) (("Ann" NIL "ann" "example.com")) (("Ann" NIL "ann" "example.com")) NIL NIL NIL NIL "<1@example.com>"))
A< d OK Fetch completed (*
A> e FETCH 1 BODYSTRUCTURE
A< * 1 FETCH (BODYSTRUCTURE ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 20 2 NIL NIL NIL NIL))
A< e OK Fetch completed (*
A> f FETCH 1 BODY.PEEK[HEADER.FIELDS (Subject From)]
A< * 1 FETCH (BODY[HEADER.FIELDS (SUBJECT FROM)] {47}
A< From: Ann <ann@example.com>
A< Subject: hello
A<
A< )
A< f OK Fetch completed (*
A> g FETCH 1 BODY.PEEK[TEXT]<6.8>
A< * 1 FETCH (BODY[TEXT]<6> {8}
A< line
A< se)
A< g OK Fetch completed (*
A> h FETCH 9 FLAGS
A< h BAD *
A> i UID FETCH 9 FLAGS
A< i OK Fetch completed (*
A> j LOGOUT
A< * BYE Logging out
A< j OK Logout completed (*
eof A
