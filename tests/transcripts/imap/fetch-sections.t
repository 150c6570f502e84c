# Parts of a multipart message (RFC 3501 §6.4.5).
open A imap
A< * OK *
A> l LOGIN $user pass
A< l OK [CAPABILITY IMAP4rev1 *] Logged in
A> a APPEND INBOX (\Seen) {241+}
A~ From: a@b\r\nSubject: outer\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=bb\r\n\r\n--bb\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Language: en, de\r\n\r\none\r\n--bb\r\nContent-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\ntwo\r\n--bb--\r\n\r\n
A< a OK [APPENDUID * 1] Append completed (*
A> b SELECT INBOX
A<? * FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
A<? * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] Flags permitted.
A<? * 1 EXISTS
A<? * 1 RECENT
A<? * OK [UIDVALIDITY *] UIDs valid
A<? * OK [UIDNEXT 2] Predicted next UID
A< b OK [READ-WRITE] Select completed (*
A> c FETCH 1 BODY
A< * 1 FETCH (BODY (("text" "plain" ("charset" "utf-8") NIL NIL "7bit" 3 0)("message" "rfc822" NIL NIL NIL "7bit" 21 (NIL "inner" NIL NIL NIL NIL NIL NIL NIL NIL) ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 0) 2) "mixed"))
A< c OK Fetch completed (*
A> d FETCH 1 BODYSTRUCTURE
A< * 1 FETCH (BODYSTRUCTURE (("text" "plain" ("charset" "utf-8") NIL NIL "7bit" 3 0 NIL NIL ("en" "de") NIL)("message" "rfc822" NIL NIL NIL "7bit" 21 (NIL "inner" NIL NIL NIL NIL NIL NIL NIL NIL) ("text" "plain" ("charset" "us-ascii") NIL NIL "7bit" 3 0 NIL NIL NIL NIL) 2 NIL NIL NIL NIL) "mixed" ("boundary" "bb") NIL NIL NIL))
A< d OK Fetch completed (*
A> e FETCH 1 BODY.PEEK[1]
A< * 1 FETCH (BODY[1] {3}
A< one)
A< e OK Fetch completed (*
A> f FETCH 1 BODY.PEEK[1.MIME]
A< * 1 FETCH (BODY[1.MIME] {69}
A< Content-Type: text/plain; charset=utf-8
A< Content-Language: en, de
A<
A< )
A< f OK Fetch completed (*
A> g FETCH 1 BODY.PEEK[2.HEADER]
A< * 1 FETCH (BODY[2.HEADER] {18}
A< Subject: inner
A<
A< )
A< g OK Fetch completed (*
A> h FETCH 1 BODY.PEEK[2.TEXT]
A< * 1 FETCH (BODY[2.TEXT] {3}
A< two)
A< h OK Fetch completed (*
A> i FETCH 1 BODY.PEEK[2.1]
A< * 1 FETCH (BODY[2.1] {3}
A< two)
A< i OK Fetch completed (*
A> j FETCH 1 BODY.PEEK[2.HEADER.FIELDS (SUBJECT)]
A< * 1 FETCH (BODY[2.HEADER.FIELDS (SUBJECT)] {18}
A< Subject: inner
A<
A< )
A< j OK Fetch completed (*
A> k FETCH 1 BODY.PEEK[HEADER.FIELDS.NOT (SUBJECT FROM)]
A< * 1 FETCH (BODY[HEADER.FIELDS.NOT (SUBJECT FROM)] {65}
A< MIME-Version: 1.0
A< Content-Type: multipart/mixed; boundary=bb
A<
A< )
A< k OK Fetch completed (*
A> m FETCH 1 BODY.PEEK[3]
A< * 1 FETCH (BODY[3] {0}
A< )
A< m OK Fetch completed (*
A> n FETCH 1 BODY.PEEK[TEXT]<2.5>
A< * 1 FETCH (BODY[TEXT]<2> {5}
A< bb
A< C)
A< n OK Fetch completed (*
A> o FETCH 1 BODY.PEEK[TEXT]<9999.5>
A< * 1 FETCH (BODY[TEXT]<9999> {0}
A< )
A< o OK Fetch completed (*
A> p FETCH 1 BODY[0]
A< * 1 FETCH (BODY[0] {3}
A< one)
A< p OK Fetch completed (*
A> q FETCH 1 BODY[MIME]
A< q BAD Error in IMAP command FETCH: Invalid BODY[..] section (*
A> r FETCH 1 BODY[HEADER.FIELDS ()]
A< r BAD Error in IMAP command FETCH: Invalid BODY[..] section (*
A> s FETCH 9 UID
A< s BAD Error in IMAP command FETCH: Invalid messageset (*
close A
