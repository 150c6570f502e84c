# CREATE, LIST, LSUB, RENAME, DELETE, STATUS, SUBSCRIBE (RFC 3501 §6.3), special-use (RFC 6154).
open A imap
A< * OK *
A> l LOGIN $user pass
A< l OK [CAPABILITY IMAP4rev1 *] Logged in
A> a CREATE work.2020
A< a OK Create completed (*
A> b CREATE work.2020
A< b NO [ALREADYEXISTS] Mailbox already exists (*
A> c LIST "" *
A<? * LIST (\Noselect \HasChildren) "." work
A<? * LIST (\HasNoChildren) "." work.2020
A<? * LIST (\HasNoChildren) "." INBOX
A< c OK List completed (*
A> d LIST "" ""
A< * LIST (\Noselect) "." ""
A< d OK List completed (*
A> e SUBSCRIBE work.2020
A< e OK Subscribe completed (*
A> f LSUB "" %
A< * LSUB (\Noselect) "." work
A< f OK Lsub completed (*
A> g RENAME work.2020 work.2021
A< g OK Rename completed (*
A> h STATUS work.2021 (MESSAGES UIDNEXT UNSEEN RECENT)
A< * STATUS work.2021 (MESSAGES 0 RECENT 0 UIDNEXT 1 UNSEEN 0)
A< h OK Status completed (*
A> i STATUS nowhere (MESSAGES)
A< i NO Mailbox doesn't exist: nowhere (*
A> j SELECT nowhere
A< j NO Mailbox doesn't exist: nowhere (*
A> k DELETE work.2021
A< k OK Delete completed (*
A> m DELETE INBOX
A< m NO *
A> n CREATE "Entw&APw-rfe"
A< n OK Create completed (*
A> o LIST "" "Entw*"
A< * LIST (\HasNoChildren) "." Entw&APw-rfe
A< o OK List completed (*
A> p CREATE Trash
A< p OK Create completed (*
A> q LIST "" Trash
A< * LIST (\HasNoChildren \Trash) "." Trash
A< q OK List completed (*
A> r NAMESPACE
A< * NAMESPACE (("" ".")) NIL NIL
A< r OK Namespace completed (*
A> s APPEND nowhere {3+}
A~ x\r\n\r\n
A< s NO [TRYCREATE] Mailbox doesn't exist: nowhere *
A> t UNSUBSCRIBE work.2020
A< t OK Unsubscribe completed (*
A> u LOGOUT
A< * BYE Logging out
A< u OK Logout completed (*
eof A
