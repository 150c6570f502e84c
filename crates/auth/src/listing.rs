//! `LIST`: the users of all userdbs that can say who they have.

use crate::db::Userdb;
use crate::master::MasterConnection;
use crate::request::{Label, Request};
use crate::tab;

/// Answers a `LIST` while its reader keeps up.
pub(crate) async fn run(connection: &MasterConnection, id: u32, parameters: &[String]) {
    let auth = &connection.auth;
    let service = parameters.iter().rev().find_map(|word| word.strip_prefix("service="));
    let mut request = auth.request(service.unwrap_or_default());
    for word in parameters {
        let (key, value) = tab::pair(word);
        if !request.import_info(key, value) && key == "user" {
            request.facts.user = Some(value.to_owned());
        }
    }
    request.facts.user.get_or_insert_default();
    let userdbs = &auth.services.default().databases.userdbs;
    let mut can_list = userdbs.iter().filter(|userdb| userdb.can_list()).peekable();
    let mut complete = can_list.peek().is_some();
    if !complete {
        connection.error("Trying to iterate users, but userdbs don't support it");
    }
    for userdb in can_list {
        complete &= list(connection, &mut request, userdb, id).await;
    }
    let fail = if complete { "" } else { "fail" };
    connection.output.send(&format!("DONE\t{id}\t{fail}"));
}

/// The mask is for the userdb's query: like 2.3, what does not match is left to the asker.
async fn list(connection: &MasterConnection, request: &mut Request, userdb: &Userdb, id: u32) -> bool {
    request.label = Some(Label { next: None, ..userdb.label.clone() });
    request.database_id = userdb.id;
    let complete = if userdb.is_blocking {
        let each = async |names: Vec<String>| send(connection, &names, id).await;
        connection.auth.workers.list(request, userdb.id, each).await
    } else {
        let mut names = Vec::new();
        let complete = userdb.list(request, &mut |name| names.push(name.to_owned()));
        send(connection, &names, id).await.is_ok() && complete
    };
    request.label = None;
    complete
}

/// Sends names as fast as they are read.
async fn send(connection: &MasterConnection, names: &[String], id: u32) -> std::io::Result<()> {
    for name in names {
        connection.output.has_room().await?;
        let mut line = format!("LIST\t{id}\t");
        tab::push(&mut line, name);
        connection.output.send(&line);
    }
    Ok(())
}
