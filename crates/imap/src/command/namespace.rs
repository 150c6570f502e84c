//! NAMESPACE (RFC 2342).

use mail_user::NamespaceType;
use proto::imap::response::put_string;

use crate::context::Context;
use crate::out::OutBuf;
use crate::reply::Answer;

pub(super) fn run(context: &mut Context, out: &mut OutBuf) -> Answer {
    out.put(b"* NAMESPACE");
    for kind in [NamespaceType::Private, NamespaceType::Shared, NamespaceType::Public] {
        out.put(b" ");
        put_namespaces(context, kind, out);
    }
    out.put(b"\r\n");
    Answer::ok("Namespace completed")
}

fn put_namespaces(context: &Context, kind: NamespaceType, out: &mut OutBuf) {
    let all = context.user.namespaces().iter();
    let mut shown = all.filter(|ns| ns.kind() == kind && !ns.settings().hidden).peekable();
    if shown.peek().is_none() {
        return out.put(b"NIL");
    }
    out.put(b"(");
    for namespace in shown {
        out.put(b"(");
        put_string(out.raw(), base::mutf7::encode(namespace.prefix()).as_bytes());
        out.put(b" ");
        put_string(out.raw(), namespace.separator().to_string().as_bytes());
        out.put(b")");
    }
    out.put(b")");
}
