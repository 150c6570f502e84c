# RENAME and DELETE with children (RFC 3501 §6.3.4, §6.3.5).
open A imap
A< * OK *
A> l LOGIN $user pass
A< l OK [CAPABILITY IMAP4rev1 *] Logged in
A> a CREATE a.b.c
A< a OK Create completed (*
A> b CREATE a
A< b OK Create completed (*
A> c APPEND a {17+}
A~ Subject: x\r\n\r\ny\r\n\r\n
A< c OK [APPENDUID * 1] Append completed (*
A> d RENAME a d
A< d OK Rename completed (*
A> e LIST "" *
A<? * LIST (\HasChildren) "." d
A<? * LIST (\Noselect \HasChildren) "." d.b
A<? * LIST (\HasNoChildren) "." d.b.c
A<? * LIST (\HasNoChildren) "." INBOX
A< e OK List completed (*
A> f STATUS d (MESSAGES)
A< * STATUS d (MESSAGES 1)
A< f OK Status completed (*
A> g RENAME d.b.c e.f
A< g OK Rename completed (*
A> h RENAME nosuch x
A< h NO [NONEXISTENT] Mailbox doesn't exist: nosuch (*
A> i RENAME d e.f
A< i NO [ALREADYEXISTS] Target mailbox already exists (*
A> j RENAME d d
A< j NO [ALREADYEXISTS] Can't rename mailbox to itself (*
A> k RENAME d d.x
A< k NO Can't rename mailbox under its own child (*
A> m RENAME INBOX old
A< m NO [CANNOT] Renaming INBOX isn't supported (*
A> n RENAME d INBOX
A< n NO [ALREADYEXISTS] Target mailbox already exists (*
A> o DELETE e
A< o NO [NONEXISTENT] Mailbox doesn't exist: e (*
A> p DELETE nosuch
A< p NO [NONEXISTENT] Mailbox doesn't exist: nosuch (*
A> q DELETE INBOX
A< q NO INBOX can't be deleted (*
A> r CREATE "with space"
A< r OK Create completed (*
A> s RENAME "with space" "&AOQ-"
A< s OK Rename completed (*
A> t DELETE "&AOQ-"
A< t OK Delete completed (*
A> u DELETE e.f
A< u OK Delete completed (*
A> v DELETE d
A< v OK Delete completed (*
A> w LIST "" *
A< * LIST (\HasNoChildren) "." INBOX
A< w OK List completed (*
close A
