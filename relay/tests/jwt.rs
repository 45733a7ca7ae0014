//! Credentials files: a server whose users an operator and an account have signed.

use crate::support::nats::{Server, assert_all_once, stored_with};
use crate::support::relay::{HOST, Relay, nats};
use nkeys::KeyPair;
use serde_json::{Value, json};
use std::path::PathBuf;

fn base64(bytes: &[u8]) -> String {
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let byte = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for digit in 0..=three.len() {
            text.push(char::from(digits[(bits >> (18 - 6 * digit)) as usize & 63]));
        }
    }
    text
}

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

/// A token about one key, signed by another.
fn token(issuer: &KeyPair, subject: &KeyPair, expires: Option<u64>, about: Value) -> String {
    let mut claims = json!({
        "jti": "A".repeat(52), "iat": now() - 60, "iss": issuer.public_key(), "sub": subject.public_key(),
        "name": "x", "nats": about,
    });
    if let Some(expires) = expires {
        claims["exp"] = expires.into();
    }
    let head = base64(json!({"typ": "JWT", "alg": "ed25519-nkey"}).to_string().as_bytes());
    let signed = format!("{head}.{}", base64(claims.to_string().as_bytes()));
    let signature = base64(&issuer.sign(signed.as_bytes()).unwrap());
    format!("{signed}.{signature}")
}

struct Site {
    operator: KeyPair,
    account: KeyPair,
    system: KeyPair,
    server: Server,
}

impl Site {
    fn new() -> Site {
        let [operator, account, system] =
            [KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account()];
        let server = Server::prepared("");
        let site = Site { operator, account, system, server };
        site.configure(&json!({}));
        site
    }

    /// The server's lines, with the keys that the account has revoked.
    fn configure(&self, revoked: &Value) {
        let limits = |storage: i64| {
            json!({
                "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1, "leaf": -1,
                "mem_storage": storage, "disk_storage": storage, "streams": storage, "consumer": storage,
            })
        };
        let account = |storage: i64, revoked: &Value| json!({"type": "account", "version": 2, "limits": limits(storage), "revocations": revoked});
        let operator =
            json!({"type": "operator", "version": 2, "system_account": self.system.public_key()});
        let operator = token(&self.operator, &self.operator, None, operator);
        self.server.configure(&format!(
            "operator: \"{operator}\"\nresolver: MEMORY\nresolver_preload: {{\n  {}: \"{}\"\n  {}: \"{}\"\n}}",
            self.account.public_key(),
            token(&self.operator, &self.account, None, account(-1, revoked)),
            self.system.public_key(),
            token(&self.operator, &self.system, None, account(0, &json!({}))),
        ));
    }

    /// A file as `nsc` writes it.
    fn credentials(&self, name: &str, user: &KeyPair, token: &str) -> PathBuf {
        let text = format!(
            "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
             ************************* IMPORTANT *************************\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            user.seed().unwrap()
        );
        let path = self.server.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    }
}

fn user(publish: &[&str], subscribe: &[&str]) -> Value {
    json!({
        "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1,
        "pub": {"allow": publish}, "sub": {"allow": subscribe},
    })
}

#[test]
fn a_credentials_file_is_used_and_judged() {
    let mut site = Site::new();
    let (host, admin) = (KeyPair::new_user(), KeyPair::new_user());
    let all = token(&site.account, &admin, None, user(&[">"], &[">"]));
    let admin = site.credentials("admin.creds", &admin, &all);
    let rights =
        user(&["hookmux.v1.node-1%2Eexample%2Eorg.>"], &["_INBOX_node-1%2Eexample%2Eorg.>"]);
    let good = token(&site.account, &host, Some(now() + 3600), rights.clone());
    let file = site.credentials("host.creds", &host, &good);
    site.server.start_again();
    let mut relay = Relay::new("");
    relay.configure(&format!(
        "{}  credentials: {}\n  inbox_prefix: _INBOX_node-1%2Eexample%2Eorg\n",
        nats(&site.server.url()),
        file.display()
    ));
    let said = |relay: &Relay| String::from_utf8(relay.call(&["status"]).stdout).unwrap();
    let made = relay.call(&["ensure-stream", "--credentials", &admin.display().to_string()]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    // the host's may not
    assert_eq!(relay.call(&["ensure-stream"]).status.code(), Some(1));
    let mut outbox = relay.outbox();
    for _ in 0..50 {
        outbox.write();
    }
    relay.publish();
    relay.reaches("nats", 50);
    // another host's events are refused, and stay
    let other = outbox.write_changed(|event| event["source"] = "hookmux/node-2".into());
    relay.says("the server forbids what this host does: Permissions Violation");
    assert_eq!(relay.cursor("nats"), Some(50));
    relay.kill();
    std::fs::remove_file(&outbox.files()[&51]).unwrap();
    outbox.ids.retain(|id| *id != other);
    // revoked, and let in again
    site.server.kill();
    site.configure(&json!({host.public_key(): now() + 10}));
    site.server.start_again();
    outbox.write();
    relay.publish();
    relay.says("the server refused the credentials in");
    assert!(said(&relay).contains("host.creds"), "{}", said(&relay));
    assert_eq!(relay.cursor("nats"), Some(50));
    site.server.kill();
    site.configure(&json!({}));
    site.server.start_again();
    relay.reaches("nats", 52);
    relay.kill();
    let stored = stored_with(&site.server.url(), &admin);
    assert_eq!(stored.len(), 51);
    assert!(stored.iter().all(|message| message.subject.contains("node-1%2Eexample%2Eorg")));
    assert_all_once(&stored[..50], &outbox.ids[..50]);
    // out of date, of another account, signed by nobody, and no such file
    let stranger = KeyPair::new_account();
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let forged = format!("{signed}.{}", signature.chars().rev().collect::<String>());
    for (token, words) in [
        (
            token(&site.account, &host, Some(now() - 10), rights.clone()),
            "the server refused the credentials",
        ),
        (token(&stranger, &host, None, rights.clone()), "the server refused the credentials"),
        (forged, "the server refused the credentials"),
        (String::new(), "credentials: "),
    ] {
        site.credentials("host.creds", &host, &token);
        assert!(said(&relay).contains(words), "{words}: {}", said(&relay));
    }
    std::fs::write(&file, "nothing\n").unwrap();
    assert!(said(&relay).contains("host.creds"), "{}", said(&relay));
    assert_eq!(HOST, "node-1.example.org");
}
