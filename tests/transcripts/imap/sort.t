# SORT (RFC 5256), DISPLAYFROM (RFC 5957) and ESORT (RFC 5267).
open A imap
A< * OK *
A> l LOGIN $user pass
A< l OK [CAPABILITY *SORT SORT=DISPLAY*ESORT*] Logged in
A> a APPEND INBOX "03-Jan-2020 10:00:00 +0000" {115+}
A~ From: Zoe <ann@example.com>\r\nTo: list@example.com\r\nDate: Wed, 1 Jan 2020 12:00:00 +0000\r\nSubject: Re: apples\r\n\r\none\r\n
A< a OK *
A> b APPEND INBOX "02-Jan-2020 10:00:00 +0000" {91+}
A~ From: bob@example.com\r\nDate: Wed, 1 Jan 2020 12:00:00 +0100\r\nSubject: Bananas\r\n\r\nlonger two\r\n
A< b OK *
A> c APPEND INBOX "01-Jan-2020 10:00:00 +0000" {65+}
A~ From: =?utf-8?q?=C3=84nne?= <carl@example.com>\r\nSubject: apples\r\n\r\n
A< c OK *
A> d SELECT INBOX
A<? * FLAGS *
A<? * OK [PERMANENTFLAGS *
A<? * 3 EXISTS
A<? * * RECENT
A<? * OK [UNSEEN 1] First unseen.
A<? * OK [UIDVALIDITY *
A<? * OK [UIDNEXT 4] *
A< d OK [READ-WRITE] Select completed (*
A> e SORT (ARRIVAL) UTF-8 ALL
A< * SORT 3 2 1
A< e OK Sort completed (*
# Message 3 has no Date: the day it arrived counts.
A> f SORT (DATE) UTF-8 ALL
A< * SORT 3 2 1
A< f OK Sort completed (*
A> g SORT (SUBJECT REVERSE DATE) UTF-8 ALL
A< * SORT 1 3 2
A< g OK Sort completed (*
A> h UID SORT (FROM) US-ASCII NOT SUBJECT bananas
A< * SORT 1 3
A< h OK Sort completed (*
A> i SORT (DISPLAYFROM) UTF-8 ALL
A< * SORT 3 2 1
A< i OK Sort completed (*
A> j SORT (REVERSE SIZE) UTF-8 SUBJECT nothing
A< * SORT
A< j OK Sort completed (*
A> k SORT RETURN (MIN MAX COUNT ALL) (SUBJECT) UTF-8 ALL
A< * ESEARCH (TAG "k") MIN 1 MAX 2 ALL 1,3,2 COUNT 3
A< k OK Sort completed (*
A> m SORT RETURN (PARTIAL 2:9) (REVERSE ARRIVAL) UTF-8 ALL
A< * ESEARCH (TAG "m") PARTIAL (2:9 2:3)
A< m OK Sort completed (*
A> n SORT () UTF-8 ALL
A< n BAD Error in IMAP command SORT: Empty sort program (*
A> o SORT (DATE REVERSE) UTF-8 ALL
A< o BAD Error in IMAP command SORT: Sort list ends with REVERSE (*
A> p SORT (FOO) UTF-8 ALL
A< p BAD Error in IMAP command SORT: Unknown sort argument: FOO (*
A> q SORT (DATE) ALL
A< q BAD Error in IMAP command SORT: Missing search parameters (*
close A
