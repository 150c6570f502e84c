# LIST in the old and the extended syntax, and LSUB.
open A
A> a LIST "" ""
A< * LIST (\Noselect) "/" ""
A< a OK List completed (* secs).
A> b LIST "" *
A<? * LIST (\HasNoChildren) "/" INBOX
A<? * LIST (\HasNoChildren \Trash) "/" Trash
A<? * LIST (\HasNoChildren \Sent) "/" Sent
A<? b OK List completed (* secs).
A> c LIST (SPECIAL-USE) "" *
A<? * LIST (\Trash) "/" Trash
A<? * LIST (\Sent) "/" Sent
A<? c OK *
A> d LIST () "" Tr%
A< * LIST () "/" Trash
A< d OK *
A> e LSUB "" *
A< * LSUB (\Sent) "/" Sent
A< e OK Lsub completed (* secs).
A> f LIST (SUBSCRIBED) "" * RETURN (STATUS (MESSAGES UIDNEXT))
A< * LIST (\Subscribed) "/" Sent
A< * STATUS Sent (MESSAGES 0 UIDNEXT 1)
A< f OK *
A> g CREATE foo/bar/baz
A< g OK *
A> h SUBSCRIBE foo/bar/baz
A< h OK *
A> i LIST "" foo*
A<? * LIST (\Noselect \HasChildren) "/" foo
A<? * LIST (\Noselect \HasChildren) "/" foo/bar
A<? * LIST (\HasNoChildren) "/" foo/bar/baz
A<? i OK *
A> j LSUB "" %
A<? * LSUB (\Sent) "/" Sent
A<? * LSUB (\Noselect) "/" foo
A<? j OK *
A> k LIST (SUBSCRIBED RECURSIVEMATCH) "" foo%
A< * LIST (\NonExistent) "/" foo (CHILDINFO ("SUBSCRIBED"))
A< k OK *
A> l LIST "" "a
A< l BAD Error in IMAP command LIST: Missing '"' (* secs).
A> m LIST
A< m BAD Error in IMAP command LIST: Invalid reference (* secs).
