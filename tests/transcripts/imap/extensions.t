# ID, ENABLE, NAMESPACE, and commands that are none.
open A imap
A< * OK *
A> l LOGIN $user pass
A< l OK [CAPABILITY IMAP4rev1 *] Logged in
A> a ID NIL
A< * ID ("name" "Dovecot")
A< a OK ID completed (*
A> b ID ("name" "test" "version" NIL)
A< * ID ("name" "Dovecot")
A< b OK ID completed (*
A> c ID ("name")
A< * ID ("name" "Dovecot")
A< c OK ID completed (*
A> d ENABLE FOO
A< d OK Enabled (*
A> e ENABLE
A< e OK Enabled (*
A> f NAMESPACE
A< * NAMESPACE (("" ".")) NIL NIL
A< f OK Namespace completed (*
A> g FOO
A< g BAD Error in IMAP command FOO: Unknown command (*
A> h NOOP x
A< h OK NOOP completed (*
A> i CHECK
A< i BAD No mailbox selected (*
A> j EXPUNGE
A< j BAD No mailbox selected (*
A> k UID FOO 1
A< k BAD Error in IMAP command UID FOO: Unknown command (*
A> m LOGIN a b
A< m BAD Error in IMAP command LOGIN: Unknown command (*
close A
