# LIST and LSUB with references and patterns (RFC 3501 §6.3.8, §6.3.9).
open A imap
A< * OK *
A> l LOGIN $user pass
A< l OK [CAPABILITY IMAP4rev1 *] Logged in
A> a CREATE one.two.three
A< a OK Create completed (*
A> b CREATE one.four
A< b OK Create completed (*
A> c CREATE "&AOQ-.x"
A< c OK Create completed (*
A> d SUBSCRIBE one.two.three
A< d OK Subscribe completed (*
A> e SUBSCRIBE INBOX
A< e OK Subscribe completed (*
A> f LIST "" ""
A< * LIST (\Noselect) "." ""
A< f OK List completed (*
A> g LIST "one." ""
A< * LIST (\Noselect) "." one.
A< g OK List completed (*
A> h LIST "" %
A<? * LIST (\Noselect \HasChildren) "." &AOQ-
A<? * LIST (\Noselect \HasChildren) "." one
A<? * LIST (\HasNoChildren) "." INBOX
A< h OK List completed (*
A> i LIST "" %.%
A<? * LIST (\HasNoChildren) "." &AOQ-.x
A<? * LIST (\HasNoChildren) "." one.four
A<? * LIST (\Noselect \HasChildren) "." one.two
A< i OK List completed (*
A> j LIST "one." %
A<? * LIST (\HasNoChildren) "." one.four
A<? * LIST (\Noselect \HasChildren) "." one.two
A< j OK List completed (*
A> k LIST one .%
A<? * LIST (\HasNoChildren) "." one.four
A<? * LIST (\Noselect \HasChildren) "." one.two
A< k OK List completed (*
A> m LIST "" one*
A<? * LIST (\Noselect \HasChildren) "." one
A<? * LIST (\HasNoChildren) "." one.four
A<? * LIST (\Noselect \HasChildren) "." one.two
A<? * LIST (\HasNoChildren) "." one.two.three
A< m OK List completed (*
A> n LIST "" *three
A< * LIST (\HasNoChildren) "." one.two.three
A< n OK List completed (*
A> o LIST "" inbox
A< * LIST (\HasNoChildren) "." INBOX
A< o OK List completed (*
A> p LIST "" one.%.three
A< * LIST (\HasNoChildren) "." one.two.three
A< p OK List completed (*
A> q LIST "" nosuch
A< q OK List completed (*
A> r LIST "" "&AOQ-*"
A<? * LIST (\Noselect \HasChildren) "." &AOQ-
A<? * LIST (\HasNoChildren) "." &AOQ-.x
A< r OK List completed (*
A> s LSUB "" *
A<? * LSUB () "." one.two.three
A<? * LSUB () "." INBOX
A< s OK Lsub completed (*
A> t LSUB "" %
A<? * LSUB (\Noselect) "." one
A<? * LSUB () "." INBOX
A< t OK Lsub completed (*
A> u LSUB "" one.%
A< * LSUB (\Noselect) "." one.two
A< u OK Lsub completed (*
A> v LSUB "" one.two
A< v OK Lsub completed (*
A> w LIST (SUBSCRIBED) "" *
A<? * LIST (\Subscribed) "." one.two.three
A<? * LIST (\Subscribed) "." INBOX
A< w OK List completed (*
A> x LIST "" * RETURN (SUBSCRIBED CHILDREN)
A<? * LIST (\NonExistent \HasChildren) "." &AOQ-
A<? * LIST (\HasNoChildren) "." &AOQ-.x
A<? * LIST (\NonExistent \HasChildren) "." one
A<? * LIST (\HasNoChildren) "." one.four
A<? * LIST (\NonExistent \HasChildren) "." one.two
A<? * LIST (\Subscribed \HasNoChildren) "." one.two.three
A<? * LIST (\Subscribed \HasNoChildren) "." INBOX
A< x OK List completed (*
A> y LIST "" (one.% inbox)
A<? * LIST () "." one.four
A<? * LIST (\NonExistent) "." one.two
A<? * LIST () "." INBOX
A< y OK List completed (*
A> z LIST (SPECIAL-USE) "" *
A< z OK List completed (*
A> aa LSUB "" * x
A< aa BAD Error in IMAP command LSUB: Extra arguments (*
A> ab LIST ""
A< ab BAD Error in IMAP command LIST: Invalid pattern (*
close A
