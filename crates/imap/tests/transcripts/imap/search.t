# SEARCH.
open A
A~ a APPEND INBOX (\\Seen kw) "01-Jan-2020 10:00:00 +0000" {41+}\r\nSubject: Hello\nFrom: a@b.c\n\nbody of mail\n (\\Flagged) "05-Mar-2021 10:00:00 +0000" {66+}\r\nSubject: =?utf-8?q?caf=C3=A9?=\nDate: 1 Feb 2003 00:00:00 +0000\n\nx\n\r\n
A< a OK *
A> b SELECT INBOX
A<? * FLAGS *
A<? * OK [PERMANENTFLAGS *
A<? * 2 EXISTS
A<? * * RECENT
A<? * OK [UNSEEN 2] *
A<? * OK [UIDVALIDITY *
A<? * OK [UIDNEXT 3] *
A<? b OK [READ-WRITE] *
A> c SEARCH ALL
A< * SEARCH 1 2
A< c OK Search completed (* secs).
A> d SEARCH SEEN KEYWORD kw
A< * SEARCH 1
A< d OK *
A> e UID SEARCH NOT SEEN
A< * SEARCH 2
A< e OK *
A> f SEARCH OR FROM a@b SUBJECT nothing
A< * SEARCH 1
A< f OK *
A> g SEARCH SINCE 1-Jan-2021
A< * SEARCH 2
A< g OK *
A> h SEARCH SENTON 1-Feb-2003
A< * SEARCH 2
A< h OK *
A~ i SEARCH CHARSET UTF-8 SUBJECT {5+}\r\nCAF\xc3\x89\r\n
A< * SEARCH 2
A< i OK *
A> j SEARCH BODY "OF MAIL"
A< * SEARCH 1
A< j OK *
A> k SEARCH TEXT hello
A< * SEARCH 1
A< k OK *
A> l SEARCH 2:* UID 1
A< * SEARCH
A< l OK *
A> m SEARCH LARGER 50
A< * SEARCH 2
A< m OK *
A> n SEARCH CHARSET FOO ALL
A< n NO [BADCHARSET] Unknown charset (* secs).
A> o SEARCH HEADER Date ""
A< * SEARCH 2
A< o OK *
A> p SEARCH NEW
A< * SEARCH 2
A< p OK *
