# SEARCH MIMEPART, Dovecot's own key: what some part of a message is like.
open A imap
A< * OK *
A> l LOGIN $user pass
A< l OK [CAPABILITY IMAP4rev1 *] Logged in
A> a APPEND INBOX {490+}
A~ MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n
A~ --b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Description: Some text\r\nContent-Language: en\r\n\r\nhello\r\n
A~ --b\r\nContent-Type: message/rfc822\r\n\r\nFrom: In Ner <inner@example.com>\r\nSubject: inside\r\nDate: Sat, 3 Jan 2015 23:00:00 -0500\r\nMessage-ID: <in@x>\r\n\r\nbody\r\n
A~ --b\r\nContent-Type: application/pdf\r\nContent-Disposition: attachment; filename="Bill A.PDF"\r\nContent-Transfer-Encoding: base64\r\nContent-ID: <cid@x>\r\n\r\nAAAA\r\n
A~ --b--\r\n
A~ \r\n
A< a OK *
A> b APPEND INBOX {26+}
A~ Subject: two\r\n\r\ntext two\r\n\r\n
A< b OK *
A> c SELECT INBOX
A<? * FLAGS *
A<? * OK [PERMANENTFLAGS *
A<? * 2 EXISTS
A<? * * RECENT
A<? * OK [UNSEEN 1] First unseen.
A<? * OK [UIDVALIDITY *
A<? * OK [UIDNEXT 3] *
A< c OK [READ-WRITE] Select completed (*
A> q0 SEARCH MIMEPART TYPE TEXT
A< * SEARCH 1 2
A< q0 OK Search completed (*
A> q1 SEARCH MIMEPART TYPE tex
A< * SEARCH
A< q1 OK Search completed (*
A> q2 SEARCH MIMEPART (DESCRIPTION "me te")
A< * SEARCH 1
A< q2 OK Search completed (*
A> q3 SEARCH MIMEPART (DESCRIPTION "Me te")
A< * SEARCH
A< q3 OK Search completed (*
A> q4 SEARCH MIMEPART LANGUAGE EN
A< * SEARCH 1
A< q4 OK Search completed (*
A> q5 SEARCH MIMEPART (SUBTYPE pdf INDEX 3)
A< * SEARCH 1
A< q5 OK Search completed (*
A> q6 SEARCH MIMEPART (SUBTYPE pdf INDEX 2)
A< * SEARCH
A< q6 OK Search completed (*
A> q7 SEARCH MIMEPART (SUBTYPE pdf DEPTH 1)
A< * SEARCH 1
A< q7 OK Search completed (*
A> q8 SEARCH MIMEPART (DEPTH MIN 2)
A< * SEARCH 1
A< q8 OK Search completed (*
A> q9 SEARCH MIMEPART (DEPTH 2 FROM inner@)
A< * SEARCH 1
A< q9 OK Search completed (*
A> q10 SEARCH MIMEPART (DEPTH 1 FROM inner@)
A< * SEARCH
A< q10 OK Search completed (*
A> q11 SEARCH MIMEPART (SUBJECT inside)
A< * SEARCH 1
A< q11 OK Search completed (*
A> q12 SEARCH MIMEPART (SENTON 3-Jan-2015)
A< * SEARCH 1
A< q12 OK Search completed (*
A> q13 SEARCH MIMEPART (SENTBEFORE 3-Jan-2015)
A< * SEARCH
A< q13 OK Search completed (*
A> q14 SEARCH MIMEPART (SENTSINCE 3-Jan-2015)
A< * SEARCH 1
A< q14 OK Search completed (*
A> q15 SEARCH MIMEPART MESSAGE-ID in@
A< * SEARCH 1
A< q15 OK Search completed (*
A> q16 SEARCH MIMEPART FILENAME IS "bill a.pdf"
A< * SEARCH 1
A< q16 OK Search completed (*
A> q17 SEARCH MIMEPART FILENAME BEGINS BILL
A< * SEARCH 1
A< q17 OK Search completed (*
A> q18 SEARCH MIMEPART FILENAME ENDS .pd
A< * SEARCH
A< q18 OK Search completed (*
A> q19 SEARCH MIMEPART FILENAME CONTAINS ill
A< * SEARCH 1
A< q19 OK Search completed (*
A> q20 SEARCH MIMEPART PARAM CHARSET ""
A< * SEARCH 1 2
A< q20 OK Search completed (*
A> q21 SEARCH MIMEPART PARAM charset utf-9
A< * SEARCH
A< q21 OK Search completed (*
A> q22 SEARCH MIMEPART DISPOSITION TYPE attachment
A< * SEARCH 1
A< q22 OK Search completed (*
A> q23 SEARCH MIMEPART DISPOSITION PARAM filename Bill
A< * SEARCH 1
A< q23 OK Search completed (*
A> q24 SEARCH MIMEPART (TYPE multipart CHILD SUBTYPE pdf)
A< * SEARCH 1
A< q24 OK Search completed (*
A> q25 SEARCH MIMEPART (SUBTYPE pdf PARENT EXISTS NOT CHILD EXISTS)
A< * SEARCH 1
A< q25 OK Search completed (*
A> q26 SEARCH MIMEPART (DEPTH MIN 1 PARENT (TYPE message))
A< * SEARCH 1
A< q26 OK Search completed (*
A> q27 SEARCH MIMEPART CHILD (DEPTH 2)
A< * SEARCH 1
A< q27 OK Search completed (*
A> q28 SEARCH MIMEPART (TYPE multipart CHILD (DEPTH 1 SUBTYPE pdf))
A< * SEARCH 1
A< q28 OK Search completed (*
A> q29 SEARCH MIMEPART SIZE 6
A< * SEARCH
A< q29 OK Search completed (*
A> q30 SEARCH MIMEPART SIZE SMALLER 5
A< * SEARCH 1
A< q30 OK Search completed (*
A> q31 SEARCH MIMEPART SIZE LARGER 600
A< * SEARCH
A< q31 OK Search completed (*
A> q32 SEARCH MIMEPART ENCODING BASE64
A< * SEARCH 1
A< q32 OK Search completed (*
A> q33 SEARCH MIMEPART ID <CID@x>
A< * SEARCH 1
A< q33 OK Search completed (*
A> q34 SEARCH MIMEPART OR TYPE foo OR TYPE bar TYPE application
A< * SEARCH 1
A< q34 OK Search completed (*
A> q35 SEARCH MIMEPART NOT TYPE text
A< * SEARCH 1
A< q35 OK Search completed (*
A> q36 SEARCH MIMEPART (NOT TYPE text NOT TYPE multipart)
A< * SEARCH 1
A< q36 OK Search completed (*
A> q37 SEARCH MIMEPART BODY hello
A< * SEARCH
A< q37 OK Search completed (*
A> q38 SEARCH MIMEPART (OR BODY hello DEPTH 0)
A< * SEARCH 1 2
A< q38 OK Search completed (*
A> q39 SEARCH MIMEPART (CHILD EXISTS INDEX 1)
A< * SEARCH 1
A< q39 OK Search completed (*
A> q40 SEARCH MIMEPART (TYPE text INDEX 1 DEPTH 0)
A< * SEARCH 2
A< q40 OK Search completed (*
A> b0 SEARCH MIMEPART FOO
A< b0 BAD Error in IMAP command SEARCH: Unknown MIMEPART key FOO (*
A> b1 SEARCH MIMEPART EXISTS
A< b1 BAD Error in IMAP command SEARCH: EXISTS key can only be used with PARENT or CHILD (*
A> b2 SEARCH MIMEPART ()
A< b2 BAD Error in IMAP command SEARCH: No MIMEPART keys inside list (*
A> b3 SEARCH MIMEPART SIZE x
A< b3 BAD Error in IMAP command SEARCH: Invalid MIMEPART SIZE value (*
A> b4 SEARCH MIMEPART FILENAME LIKE x
A< b4 BAD Error in IMAP command SEARCH: Invalid MIMEPART FILENAME match type (*
A> b5 SEARCH MIMEPART DISPOSITION x y
A< b5 BAD Error in IMAP command SEARCH: Invalid MIMEPART DISPOSITION key type (*
A> b6 SEARCH MIMEPART INDEX x
A< b6 BAD Error in IMAP command SEARCH: Invalid MIMEPART INDEX number (*
A> b7 SEARCH MIMEPART NOT
A< b7 BAD Error in IMAP command SEARCH: Missing MIMEPART key (*
