# STATUS, EXAMINE, CLOSE, UNSELECT and EXPUNGE (RFC 3501 §6.3.2, §6.3.10, §6.4.2, RFC 3691).
open A imap
A< * OK *
A> l LOGIN $user pass
A< l OK [CAPABILITY IMAP4rev1 *] Logged in
A> a APPEND INBOX (\Deleted) {17+}
A~ Subject: x\r\n\r\ny\r\n\r\n
A< a OK [APPENDUID * 1] Append completed (*
A> b APPEND INBOX () {17+}
A~ Subject: x\r\n\r\ny\r\n\r\n
A< b OK [APPENDUID * 2] Append completed (*
A> c APPEND INBOX (\Seen) {17+}
A~ Subject: x\r\n\r\ny\r\n\r\n
A< c OK [APPENDUID * 3] Append completed (*
A> d STATUS INBOX (MESSAGES RECENT UIDNEXT UNSEEN)
A< * STATUS INBOX (MESSAGES 3 RECENT 3 UIDNEXT 4 UNSEEN 2)
A< d OK Status completed (*
A> e STATUS inbox (MESSAGES)
A< * STATUS inbox (MESSAGES 3)
A< e OK Status completed (*
A> f STATUS INBOX (FOO)
A< f BAD Error in IMAP command STATUS: Invalid status item FOO (*
A> g STATUS INBOX ()
A< g BAD Error in IMAP command STATUS: Empty status list (*
A> h STATUS nosuch (MESSAGES)
A< h NO Mailbox doesn't exist: nosuch (*
A> i EXAMINE INBOX
A<? * FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
A<? * OK [PERMANENTFLAGS ()] Read-only mailbox.
A<? * 3 EXISTS
A<? * 3 RECENT
A<? * OK [UNSEEN 1] First unseen.
A<? * OK [UIDVALIDITY *] UIDs valid
A<? * OK [UIDNEXT 4] Predicted next UID
A< i OK [READ-ONLY] Examine completed (*
A> j EXPUNGE
A< j OK Expunge completed (*
A> k STORE 1 +FLAGS (\Seen)
A< k OK Store ignored with read-only mailbox (*
A> m FETCH 1:* FLAGS
A<? * 1 FETCH (FLAGS (\Deleted \Recent))
A<? * 2 FETCH (FLAGS (\Recent))
A<? * 3 FETCH (FLAGS (\Seen \Recent))
A< m OK Fetch completed (*
A> n CLOSE
A< n OK Close completed (*
A> o CLOSE
A< o BAD No mailbox selected (*
A> p SELECT INBOX
A<? * FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
A<? * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] Flags permitted.
A<? * 3 EXISTS
A<? * 3 RECENT
A<? * OK [UNSEEN 1] First unseen.
A<? * OK [UIDVALIDITY *] UIDs valid
A<? * OK [UIDNEXT 4] Predicted next UID
A< p OK [READ-WRITE] Select completed (*
A> q UNSELECT
A< q OK Unselect completed (*
A> r EXPUNGE
A< r BAD No mailbox selected (*
A> s SELECT INBOX
A<? * FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
A<? * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] Flags permitted.
A<? * 3 EXISTS
A<? * 0 RECENT
A<? * OK [UNSEEN 1] First unseen.
A<? * OK [UIDVALIDITY *] UIDs valid
A<? * OK [UIDNEXT 4] Predicted next UID
A< s OK [READ-WRITE] Select completed (*
A> t SELECT nosuch
A< * OK [CLOSED] Previous mailbox closed.
A< t NO Mailbox doesn't exist: nosuch (*
A> u FETCH 1 FLAGS
A< u BAD No mailbox selected (*
A> v SELECT INBOX
A<? * FLAGS (\Answered \Flagged \Deleted \Seen \Draft)
A<? * OK [PERMANENTFLAGS (\Answered \Flagged \Deleted \Seen \Draft \*)] Flags permitted.
A<? * 3 EXISTS
A<? * 0 RECENT
A<? * OK [UNSEEN 1] First unseen.
A<? * OK [UIDVALIDITY *] UIDs valid
A<? * OK [UIDNEXT 4] Predicted next UID
A< v OK [READ-WRITE] Select completed (*
A> w UID EXPUNGE 2:3
A< w OK Expunge completed (*
A> x UID EXPUNGE 1
A< * 1 EXPUNGE
A< x OK Expunge completed (*
A> y CLOSE
A< y OK Close completed (*
A> z STATUS INBOX (MESSAGES UIDNEXT UNSEEN)
A< * STATUS INBOX (MESSAGES 2 UIDNEXT 4 UNSEEN 1)
A< z OK Status completed (*
A> aa CHECK
A< aa BAD No mailbox selected (*
close A
