//! Authorities and certificates, made with openssl.

use std::path::{Path, PathBuf};
use std::process::Command;

pub struct Pki {
    directory: tempfile::TempDir,
}

impl Pki {
    pub fn new() -> Pki {
        let pki = Pki { directory: tempfile::tempdir().unwrap() };
        pki.authority("ca");
        pki.certificate("server", "IP:127.0.0.1,DNS:localhost", "ca");
        pki
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn authority(&self, name: &str) {
        openssl(
            self.directory.path(),
            &format!(
                "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.pem -days 30 \
             -subj /CN={name} -addext basicConstraints=critical,CA:TRUE"
            ),
        );
    }

    /// A certificate for these names, signed by an authority.
    pub fn certificate(&self, name: &str, names: &str, authority: &str) {
        openssl(
            self.directory.path(),
            &format!(
                "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.csr -subj /CN={name}"
            ),
        );
        let extensions = format!(
            "subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\nbasicConstraints=CA:FALSE\n"
        );
        std::fs::write(self.file(&format!("{name}.ext")), extensions).unwrap();
        openssl(
            self.directory.path(),
            &format!(
                "x509 -req -in {name}.csr -CA {authority}.pem -CAkey {authority}.key -CAcreateserial -days 30 -extfile {name}.ext -out {name}.pem"
            ),
        );
    }

    /// The server's lines for TLS where each client has a certificate that is a user's.
    pub fn server_lines(&self, users: &str) -> String {
        format!(
            "tls {{\n  cert_file: \"{}\"\n  key_file: \"{}\"\n  ca_file: \"{}\"\n  verify_and_map: true\n}}\nauthorization {{\n  users = [\n{users}\n  ]\n}}\n",
            self.file("server.pem").display(),
            self.file("server.key").display(),
            self.file("ca.pem").display()
        )
    }

    /// The configuration's lines for a client with this certificate.
    pub fn client_lines(&self, port: u16, name: &str) -> String {
        format!(
            "nats:\n  servers: [\"tls://127.0.0.1:{port}\"]\n  ack_timeout: 2s\n  ca: {}\n  certificate: {}\n  key: {}\n",
            self.file("ca.pem").display(),
            self.file(&format!("{name}.pem")).display(),
            self.file(&format!("{name}.key")).display()
        )
    }
}

fn openssl(directory: &Path, words: &str) {
    let output = Command::new("openssl")
        .args(words.split_whitespace())
        .current_dir(directory)
        .output()
        .expect("openssl is needed");
    assert!(
        output.status.success(),
        "openssl {words}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}
