# COPY, MOVE (RFC 6851) and UID EXPUNGE with their response codes (RFC 4315 §3).
open A imap
A< * OK *
A> l LOGIN $user pass
A< l OK [CAPABILITY IMAP4rev1 *] Logged in
A> a APPEND INBOX (\Flagged) {12+}
A~ Subject: 1\r\n\r\n
A< a OK [APPENDUID *
A> b APPEND INBOX {12+}
A~ Subject: 2\r\n\r\n
A< b OK [APPENDUID *
A> c APPEND INBOX {12+}
A~ Subject: 3\r\n\r\n
A< c OK [APPENDUID *
A> d CREATE other
A< d OK Create completed (*
A> e SELECT INBOX
A<? * FLAGS *
A<? * OK [PERMANENTFLAGS *
A<? * 3 EXISTS
A<? * * RECENT
A<? * OK [UNSEEN 1] First unseen.
A<? * OK [UIDVALIDITY *
A<? * OK [UIDNEXT 4] *
A< e OK [READ-WRITE] Select completed (*
A> f COPY 1:2 other
A< f OK [COPYUID * 1:2 1:2] Copy completed (*
A> g UID MOVE 3 other
A< * OK [COPYUID * 3 3] Moved UIDs.
A< * 3 EXPUNGE
A< * 2 RECENT
A< g OK Move completed (*
A> h COPY 1 nowhere
A< h NO [TRYCREATE] Mailbox doesn't exist: nowhere (*
A> i STORE 1:2 +FLAGS.SILENT \Deleted
A< i OK Store completed (*
A> j UID EXPUNGE 2
A< * 2 EXPUNGE
A< * 1 RECENT
A< j OK Expunge completed (*
A> k SELECT other
A< * OK [CLOSED] Previous mailbox closed.
A<? * FLAGS *
A<? * OK [PERMANENTFLAGS *
A<? * 3 EXISTS
A<? * * RECENT
A<? * OK [UNSEEN 1] First unseen.
A<? * OK [UIDVALIDITY *
A<? * OK [UIDNEXT 4] *
A< k OK [READ-WRITE] Select completed (*
A> m FETCH 1:* FLAGS
A< * 1 FETCH (FLAGS (\Flagged*))
A< * 2 FETCH (FLAGS (*))
A< * 3 FETCH (FLAGS (*))
A< m OK Fetch completed (*
A> n UNSELECT
A< n OK Unselect completed (*
close A
