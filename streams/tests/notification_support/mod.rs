//! A mail server of a test's own: Python's aiosmtpd, which keeps what it gets in a Maildir; and what stands there,
//! read by Python's own mail parser, so that neither end is ours.

use crate::support::PATIENCE;
use serde::Deserialize;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Prints the mails of a Maildir in the order of their coming. `rcpt` is what the envelope said.
const READ: &str = r#"
import email.policy, json, mailbox, sys
maildir = mailbox.Maildir(sys.argv[1], factory=None)
mails = []
for key in sorted(maildir.keys()):
    mail = email.message_from_bytes(maildir.get_bytes(key), policy=email.policy.default)
    mails.append({
        "rcpt": mail["X-RcptTo"], "sender": mail["X-MailFrom"], "to": mail["To"], "from": mail["From"],
        "subject": mail["Subject"], "id": mail["Message-ID"], "body": mail.get_content().replace("\r\n", "\n").rstrip("\n"),
        "headers": sorted(name for name in mail.keys() if not name.startswith("X-")),
        "defects": [str(defect) for part in [mail, *mail.values()] for defect in getattr(part, "defects", [])],
    })
json.dump(mails, sys.stdout)
"#;

/// What is larger is refused for good (552).
pub const MAX_MAIL_BYTES: usize = 20_000;

/// A mail as its reader sees it.
#[derive(Clone, Debug, Deserialize)]
pub struct Mail {
    pub rcpt: String,
    pub sender: String,
    pub to: String,
    pub from: String,
    pub subject: String,
    pub id: String,
    pub body: String,
    pub headers: Vec<String>,
    /// What the parser had to overlook.
    pub defects: Vec<String>,
}

/// An address, a folder, and while it runs a server there.
pub struct MailServer {
    address: SocketAddr,
    folder: TempDir,
    child: Option<Child>,
}

impl MailServer {
    /// One that is down: nothing listens at its address yet.
    pub fn down() -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self { address, folder: TempDir::new().unwrap(), child: None }
    }

    pub fn up() -> Self {
        let mut server = Self::down();
        server.start();
        server
    }

    /// Returns when it answers.
    pub fn start(&mut self) {
        let size = MAX_MAIL_BYTES.to_string();
        let child = python()
            .args(["-m", "aiosmtpd", "-n", "-l", &self.address.to_string(), "-s", &size])
            .args(["-c", "aiosmtpd.handlers.Mailbox"])
            .arg(self.maildir())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.child = Some(child);
        let began = Instant::now();
        while TcpStream::connect(self.address).is_err() {
            assert!(began.elapsed() < PATIENCE, "the mail server does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn url(&self) -> String {
        format!("smtp://{}", self.address)
    }

    fn maildir(&self) -> std::path::PathBuf {
        self.folder.path().join("mail")
    }

    /// Everything that has come, by recipient.
    pub fn mails(&self) -> Vec<Mail> {
        let output = python().args(["-c", READ]).arg(self.maildir()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let mut mails: Vec<Mail> = serde_json::from_slice(&output.stdout).unwrap();
        mails.sort_by(|a, b| a.to.cmp(&b.to));
        mails
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Python with the packages of the tests.
fn python() -> Command {
    let mut command = Command::new("deploy/python.sh");
    command.current_dir(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/..")));
    command
}
