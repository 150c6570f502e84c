# SEARCH keys of RFC 3501 §6.4.4.
open A imap
A< * OK *
A> l LOGIN $user pass
A< l OK [CAPABILITY IMAP4rev1 *] Logged in
A> a APPEND INBOX (\Seen) "01-Jan-2020 10:00:00 +0000" {123+}
A~ From: ann@example.com\r\nTo: bob@example.com\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nDate: 1 Jan 2020 10:00:00 +0000\r\n\r\nneedle\r\n
A< a OK *
A> b APPEND INBOX "03-Mar-2021 10:00:00 +0000" {57+}
A~ From: carl@example.com\r\nSubject: plain\r\n\r\nhaystack only\r\n\r\n
A< b OK *
A> c SELECT INBOX
A<? * FLAGS *
A<? * OK [PERMANENTFLAGS *
A<? * 2 EXISTS
A<? * * RECENT
A<? * OK [UNSEEN 2] First unseen.
A<? * OK [UIDVALIDITY *
A<? * OK [UIDNEXT 3] *
A< c OK [READ-WRITE] Select completed (*
A> d SEARCH ALL
A< * SEARCH 1 2
A< d OK Search completed (*
A> e SEARCH UNSEEN
A< * SEARCH 2
A< e OK Search completed (*
A> f SEARCH FROM ann OR SUBJECT foo BODY needle
A< * SEARCH 1
A< f OK Search completed (*
A> g UID SEARCH NOT SEEN SINCE 1-Jan-2021
A< * SEARCH 2
A< g OK Search completed (*
A> h SEARCH TEXT nothing
A< * SEARCH
A< h OK Search completed (*
A> i SEARCH CHARSET UTF-8 SUBJECT {7+}
A~ gr\xc3\xbc\xc3\x9fe\r\n
A< * SEARCH 1
A< i OK Search completed (*
A> j SEARCH CHARSET nosuch SUBJECT x
A< j NO [BADCHARSET] *
A> k SEARCH BEFORE 1-Jan-2021
A< * SEARCH 1
A< k OK Search completed (*
A> m SEARCH LARGER 60 SMALLER 9999
A< * SEARCH 1
A< m OK Search completed (*
A> n SEARCH HEADER Subject "" 2
A< * SEARCH 2
A< n OK Search completed (*
A> o SEARCH FOO
A< o BAD *
A> p SEARCH SENTON 1-Jan-2020
A< * SEARCH 1
A< p OK Search completed (*
close A
