# THREAD (RFC 5256) by each algorithm; REFS is Dovecot's.
open A imap
A< * OK *
A> l LOGIN $user pass
A< l OK [CAPABILITY *THREAD=REFERENCES THREAD=REFS THREAD=ORDEREDSUBJECT*] Logged in
A> a APPEND INBOX {77+}
A~ Message-ID: <1@x>\r\nSubject: apples\r\nDate: 1 Jan 2020 10:00:00 +0000\r\n\r\ntext\r\n\r\n
A< a OK *
A> b APPEND INBOX {100+}
A~ Message-ID: <2@x>\r\nReferences: <1@x>\r\nSubject: Re: apples\r\nDate: 2 Jan 2020 10:00:00 +0000\r\n\r\ntext\r\n\r\n
A< b OK *
A> c APPEND INBOX {106+}
A~ Message-ID: <3@x>\r\nReferences: <1@x> <2@x>\r\nSubject: Re: apples\r\nDate: 3 Jan 2020 10:00:00 +0000\r\n\r\ntext\r\n\r\n
A< c OK *
A> d APPEND INBOX {100+}
A~ Message-ID: <4@x>\r\nReferences: <1@x>\r\nSubject: Re: apples\r\nDate: 4 Jan 2020 10:00:00 +0000\r\n\r\ntext\r\n\r\n
A< d OK *
A> e APPEND INBOX {78+}
A~ Message-ID: <5@x>\r\nSubject: bananas\r\nDate: 5 Jan 2020 10:00:00 +0000\r\n\r\ntext\r\n\r\n
A< e OK *
A> f APPEND INBOX {101+}
A~ Message-ID: <6@x>\r\nReferences: <gone@x>\r\nSubject: cherries\r\nDate: 6 Jan 2020 10:00:00 +0000\r\n\r\ntext\r\n\r\n
A< f OK *
A> g APPEND INBOX {98+}
A~ Message-ID: <7@x>\r\nReferences: <gone@x>\r\nSubject: plums\r\nDate: 7 Jan 2020 10:00:00 +0000\r\n\r\ntext\r\n\r\n
A< g OK *
A> h APPEND INBOX {82+}
A~ Message-ID: <8@x>\r\nSubject: Re: bananas\r\nDate: 8 Jan 2020 10:00:00 +0000\r\n\r\ntext\r\n\r\n
A< h OK *
A> s SELECT INBOX
A<? * FLAGS *
A<? * OK [PERMANENTFLAGS *
A<? * 8 EXISTS
A<? * * RECENT
A<? * OK [UNSEEN *
A<? * OK [UIDVALIDITY *
A<? * OK [UIDNEXT *
A< s OK [READ-WRITE] Select completed (*
A> i THREAD REFERENCES UTF-8 ALL
A< * THREAD (1 (2 3)(4))(5 8)((6)(7))
A< i OK Thread completed (*
A> j THREAD REFS UTF-8 ALL
A< * THREAD (1 (2 3)(4))(5)((6)(7))(8)
A< j OK Thread completed (*
A> k UID THREAD ORDEREDSUBJECT US-ASCII ALL
A< * THREAD (1 (2)(3)(4))(5 8)(6)(7)
A< k OK Thread completed (*
A> m THREAD REFS UTF-8 2:4
A< * THREAD ((2 3)(4))
A< m OK Thread completed (*
A> n THREAD REFS UTF-8 SUBJECT nothing
A< * THREAD 
A< n OK Thread completed (*
A> o SEARCH INTHREAD REFS SUBJECT cherries
A< * SEARCH 6 7
A< o OK Search completed (*
A> p SEARCH INTHREAD REFERENCES (5) NOT 5
A< * SEARCH 8
A< p OK Search completed (*
A> q THREAD FOO UTF-8 ALL
A< q BAD Error in IMAP command THREAD: Unknown thread algorithm (*
A> r THREAD REFS
A< r BAD Error in IMAP command THREAD: Invalid arguments (*
close A
