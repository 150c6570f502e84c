# CREATE, DELETE, RENAME, SUBSCRIBE, UNSUBSCRIBE.
open A
A> z STATUS INBOX (MESSAGES)
A< * STATUS INBOX (MESSAGES 0)
A< z OK *
A> a CREATE INBOX
A< a NO [ALREADYEXISTS] Mailbox already exists (* secs).
A> b DELETE INBOX
A< b NO INBOX can't be deleted (* secs).
A> c DELETE nope
A< c NO [NONEXISTENT] Mailbox doesn't exist: nope (* secs).
A> d RENAME a b
A< d NO [NONEXISTENT] Mailbox doesn't exist: a (* secs).
A> e CREATE foo/bar
A< e OK Create completed (* secs).
A> f RENAME foo/bar &AOk-t&AOk-
A< f OK Rename completed (* secs).
A> g LIST "" &AOk-*
A< * LIST (\HasNoChildren) "/" &AOk-t&AOk-
A< g OK *
A> h SUBSCRIBE &AOk-t&AOk-
A< h OK Subscribe completed (* secs).
A> i LSUB "" &AOk-*
A< * LSUB () "/" &AOk-t&AOk-
A< i OK Lsub completed (* secs).
A> j UNSUBSCRIBE &AOk-t&AOk-
A< j OK Unsubscribe completed (* secs).
A> k SUBSCRIBE nope
A< k NO Mailbox doesn't exist: nope (* secs).
A> l DELETE &AOk-t&AOk-
A< l OK Delete completed (* secs).
A> m CREATE ""
A< m NO [CANNOT] Invalid mailbox name: Name is empty (* secs).
A> n CREATE p
A< n OK *
A> o RENAME p p/q
A< o NO Can't rename mailbox under its own child (* secs).
