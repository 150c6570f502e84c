//! Scripts in Lua, good and bad ones.

use std::time::Duration;

use super::bench::{Bench, local, plain};
use crate::client::Kind;
use crate::workers::Timeouts;

const CONFIG: &str = "auth_username_chars =\npassdb {\n driver = lua\n args = file=DIR/script scheme=PLAIN\n}\n\
    userdb {\n driver = lua\n args = file=DIR/script\n}\n";

const LOOKUP: &str = r#"
count = 0
function script_init() return 0 end
function auth_passdb_lookup(req)
  count = count + 1
  if req.user == "joe" then return dovecot.auth.PASSDB_RESULT_OK, "password=secret userdb_quota=1" end
  if req.username == "o'b" then
    return dovecot.auth.PASSDB_RESULT_OK, { password = "{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=", x = 7, y = true }
  end
  if req.user == "any" then return dovecot.auth.PASSDB_RESULT_OK, { nopassword = "y", who = req:var_expand("%s-%n") } end
  if req.user == "off" then return dovecot.auth.PASSDB_RESULT_USER_DISABLED, "off" end
  if req.user == "none" then return dovecot.auth.PASSDB_RESULT_OK, "x=y" end
  if req.user == "odd" then return "text" end
  if req.user == "err" then error("broken") end
  if req.user == "loop" then while true do end end
  if req.user == "eat" then local t = {} while true do t[#t+1] = string.rep("x", 1000000) .. #t end end
  return dovecot.auth.PASSDB_RESULT_USER_UNKNOWN, "no such user"
end
function auth_userdb_lookup(req)
  if req.user == "joe" then
    return dovecot.auth.USERDB_RESULT_OK, req:response_from_template("uid=5 gid=6 home=/h/%n/%s")
  end
  return dovecot.auth.USERDB_RESULT_USER_UNKNOWN, ""
end
function auth_userdb_iterate() return { "joe", "o'b" } end
"#;

const VERIFY: &str = r#"
function auth_password_verify(req, password)
  local ok = req:password_verify("{PLAIN}it's", password)
  if ok == 1 then return dovecot.auth.PASSDB_RESULT_OK, { by = "lua" } end
  return dovecot.auth.PASSDB_RESULT_PASSWORD_MISMATCH, ""
end
"#;

async fn check(bench: &Bench, cases: &[(&str, &str, &str)]) {
    let mut client = bench.client(Kind::Client).await;
    client.greeting().await;
    for (id, (user, password, expect)) in (1..).zip(cases) {
        let answer = client.ask(&plain(id, user, password, "")).await;
        assert_eq!(answer.replacen(&format!("\t{id}"), "", 1), *expect, "{user}");
    }
}

#[tokio::test(flavor = "current_thread")]
async fn scripts_look_up() {
    local(async {
        let timeouts = Timeouts { request: Duration::from_secs(3), queue: Duration::from_secs(20) };
        let bench = Bench::with_timeouts(CONFIG, &[("script", LOOKUP)], timeouts);
        check(
            &bench,
            &[
                ("joe", "secret", "OK\tuser=joe\t"),
                ("joe", "wrong", "FAIL\tuser=joe"),
                ("o'b", "secret", "OK\tuser=o'b\tx=7\ty=yes"),
                ("any", "x", "OK\tuser=any\twho=imap-any"),
                ("off", "x", "FAIL\tuser=off\tcode=user_disabled"),
                ("none", "x", "FAIL\tuser=none"),
                ("nobody", "x", "FAIL\tuser=nobody"),
                ("odd", "x", "FAIL\tuser=odd\tcode=temp_fail"),
                ("err", "x", "FAIL\tuser=err\tcode=temp_fail"),
                ("eat", "x", "FAIL\tuser=eat\tcode=temp_fail"),
                ("loop", "x", "FAIL\tuser=loop\tcode=temp_fail"),
                ("joe", "secret", "OK\tuser=joe\t"),
            ],
        )
        .await;
        let mut master = bench.master(None).await;
        for (say, expect) in [
            ("USER\t1\tjoe\tservice=lda", "USER\t1\tjoe\tgid=6\thome=/h/joe/lda\tuid=5"),
            ("USER\t2\tann\tservice=lda", "NOTFOUND\t2"),
            ("PASS\t3\tjoe\tservice=lda", "PASS\t3\tuser=joe\t"),
        ] {
            assert_eq!(master.ask(say).await, expect, "{say}");
        }
        master.say("LIST\t4\tuser=*").await;
        for line in ["LIST\t4\tjoe", "LIST\t4\to'b", "DONE\t4\t"] {
            assert_eq!(master.line().await, line);
        }
    })
    .await;
}

#[tokio::test(flavor = "current_thread")]
async fn scripts_verify() {
    local(async {
        let bench = Bench::new(CONFIG, &[("script", VERIFY)]);
        check(&bench, &[("joe", "it's", "OK\tuser=joe\tby=lua"), ("joe", "x", "FAIL\tuser=joe")]).await;
    })
    .await;
}

#[test]
fn a_script_that_cannot_be_read_is_told_at_once() {
    let error = crate::db::check_script("/x", "function (").unwrap_err();
    assert!(error.starts_with("lua: initialization failed: "), "{error}");
}
