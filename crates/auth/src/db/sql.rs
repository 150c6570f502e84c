//! `sql`: asked in workers only, since the drivers block.

use std::cell::RefCell;

use base::Logger;
use db::limits::LOOKUP_ROWS_MAX;
use db::sql::{Database, Query, Rows, SqlConfig, Statement};
use ipc::auth_worker::{PassdbResult, UserdbResult};

use crate::request::Request;
use crate::vars;

/// A `dovecot-sql.conf.ext` and, in a worker, its database.
pub(crate) struct Sql {
    pub(crate) config: SqlConfig,
    database: Option<RefCell<Database>>,
}

impl Sql {
    pub(crate) fn new(config: SqlConfig, log: Option<Logger>) -> Self {
        let database = log.map(|log| RefCell::new(Database::new(&config, log)));
        Self { config, database }
    }

    pub(crate) fn passdb(&self, request: &mut Request) -> PassdbResult {
        let query = &self.config.password_query;
        let Some(statement) = bind(query, "password_query", request) else {
            return PassdbResult::InternalFailure;
        };
        request.debug(format_args!("query: {}", statement.shown()));
        let Some(rows) =
            self.run(request, &statement, query, ("Password", "password_query"), LOOKUP_ROWS_MAX)
        else {
            return PassdbResult::InternalFailure;
        };
        match rows.rows.len() {
            0 => {
                request.log_unknown_user();
                return PassdbResult::UserUnknown;
            }
            1 => {}
            _ => {
                request.error("Password query returned multiple matches");
                return PassdbResult::InternalFailure;
            }
        }
        for (name, value) in rows.fields(0) {
            match value {
                _ if name.is_empty() => {}
                Some(value) => request.set_field(name, value, &self.config.default_pass_scheme),
                None => request.set_null_field(name),
            }
        }
        if rows.column("password").is_none() && rows.column("password_noscheme").is_none() {
            request.error("Password query must return a field named 'password'");
            return PassdbResult::InternalFailure;
        }
        if request.stored.is_none() && !request.fields.has("nopassword") {
            return request.password_missing();
        }
        PassdbResult::Ok
    }

    /// Changes the password, which is `%w`, to the one that the request has.
    pub(crate) fn store(&self, request: &Request) -> bool {
        let query = &self.config.update_query;
        let Some(statement) = bind(query, "update_query", request) else { return false };
        self.run(request, &statement, query, ("Set credentials", "update_query"), LOOKUP_ROWS_MAX).is_some()
    }

    /// Runs `update_query`: `%w` is the new hash, `%{old_password}` the one that is stored. Whether a
    /// row changed is not known.
    pub(crate) fn replace_password(&self, request: &Request, old: &str, new: &str) -> Result<bool, String> {
        let query = &self.config.update_query;
        let Some(database) = &self.database else { return Err("not in a worker".into()) };
        let variables = [('w', "password", Some(new)), ('\0', "old_password", Some(old))];
        let statement = query.template.bind(|template| vars::expand_with(template, request, &variables));
        let statement = statement
            .map_err(|error| format!("Failed to expand update_query={}: {error}", query.template.text()))?;
        let done = database.borrow_mut().query(&statement, LOOKUP_ROWS_MAX);
        done.map(|_| true).map_err(|error| format!("Update query failed: {error}"))
    }

    pub(crate) fn userdb(&self, request: &mut Request) -> UserdbResult {
        let query = &self.config.user_query;
        let Some(statement) = bind(query, "user_query", request) else {
            return UserdbResult::InternalFailure;
        };
        request.debug(statement.shown());
        let Some(rows) = self.run(request, &statement, query, ("User", "user_query"), 1) else {
            return UserdbResult::InternalFailure;
        };
        if rows.rows.is_empty() {
            request.log_unknown_user();
            return UserdbResult::UserUnknown;
        }
        for (name, value) in rows.fields(0) {
            if let Some(value) = value.filter(|_| !name.is_empty()) {
                request.set_userdb_field(name, value);
            }
        }
        UserdbResult::Ok
    }

    pub(crate) fn list(&self, request: &Request, each: &mut dyn FnMut(&str)) -> bool {
        let query = &self.config.iterate_query;
        let Some(statement) = bind(query, "iterate_query", request) else { return false };
        request.debug(statement.shown());
        let Some(rows) = self.run(request, &statement, query, ("sql: Iterate", "iterate_query"), usize::MAX)
        else {
            return false;
        };
        let user = rows.column("user").filter(|at| *at == 0);
        let (Some(name), domain) = (user.or_else(|| rows.column("username")), rows.column("domain")) else {
            request.error("sql: Iterate query didn't return 'user' field");
            return false;
        };
        let mut complete = true;
        for row in &rows.rows {
            let value = |at: usize| row.get(at).and_then(Option::as_deref);
            match (value(name), domain.filter(|_| user.is_none()).and_then(value)) {
                (Some(name), Some(domain)) => each(&format!("{name}@{domain}")),
                (Some(name), None) => each(name),
                (None, _) => {
                    request.error("sql: Iterate query returned NULL user");
                    complete = false;
                }
            }
        }
        complete
    }

    fn run(
        &self,
        request: &Request,
        statement: &Statement,
        query: &Query,
        (what, key): (&str, &str),
        rows_max: usize,
    ) -> Option<Rows> {
        let Some(database) = &self.database else {
            request.error(format_args!("{what} query failed: not in a worker"));
            return None;
        };
        match database.borrow_mut().query(statement, rows_max) {
            Ok(rows) => Some(rows),
            Err(error) => {
                let built_in = match query.is_default {
                    true => format!(" (using built-in default {key}: {})", query.template.text()),
                    false => String::new(),
                };
                request.error(format_args!("{what} query failed: {error}{built_in}"));
                None
            }
        }
    }
}

fn bind(query: &Query, key: &str, request: &Request) -> Option<Statement> {
    match query.template.bind(|template| vars::expand(template, request, vars::plain)) {
        Ok(statement) => Some(statement),
        Err(error) => {
            request.error(format_args!("Failed to expand {key}={}: {error}", query.template.text()));
            None
        }
    }
}
