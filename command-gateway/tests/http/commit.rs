//! A database connection that breaks around a commit: faults 1 and 3. A proxy before Postgres lets a command's
//! statement through or not, and then cuts the line before the answer.

use super::support::*;
use command_gateway::gateway::Gateway;
use rstest::rstest;
use serde_json::json;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use ulid::Ulid;

/// Long enough for Postgres to have committed what it was sent.
const COMMITTED: Duration = Duration::from_secs(1);
/// Bytes that are taken from a connection at once.
const BUFFER: usize = 64 * 1024;
/// What is in no statement but the one that writes commands: a message header's name, as a parameter.
const MARK: &[u8] = b"ce_specversion";

/// What happens to the next statement that writes a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cut {
    Never,
    BeforePostgresHasIt,
    BeforeItsAnswer,
}

/// A line to Postgres that breaks where it is told to, once.
struct Line {
    cut: Mutex<Cut>,
    cuts: AtomicUsize,
}

impl Line {
    /// A gateway whose database is behind such a line.
    async fn with_gateway() -> (Arc<Self>, Arc<Gateway>) {
        let url = url::Url::parse(&stage().await.database_url).unwrap();
        let postgres = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5432));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut proxied = url.clone();
        proxied.set_port(Some(listener.local_addr().unwrap().port())).unwrap();
        let line = Arc::new(Self { cut: Mutex::new(Cut::Never), cuts: AtomicUsize::new(0) });
        let served = line.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(&postgres).await.unwrap();
                tokio::spawn(served.clone().serve(client, server));
            }
        });
        let jwks = &stage().await.jwks_path;
        let gateway = gateway(&[("CPQ_DATABASE_URL", proxied.as_str()), ("CPQ_OIDC_JWKS", jwks)]).await;
        (line, gateway)
    }

    async fn serve(self: Arc<Self>, client: TcpStream, server: TcpStream) {
        let ((mut from_client, to_client), (from_server, mut to_server)) = (client.into_split(), server.into_split());
        let answered = Arc::new(AtomicBool::new(true));
        let answers = tokio::spawn(answer(from_server, to_client, answered.clone()));
        let mut buffer = vec![0; BUFFER];
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            let sent = &buffer[..read];
            let cut = self.due(sent);
            if cut == Cut::BeforePostgresHasIt {
                break;
            }
            answered.store(cut == Cut::Never, Ordering::SeqCst);
            if to_server.write_all(sent).await.is_err() {
                break;
            }
            if cut == Cut::BeforeItsAnswer {
                // The statement may come in several pieces.
                let rest = tokio::io::copy(&mut from_client, &mut to_server);
                let _ = tokio::time::timeout(COMMITTED, rest).await;
                break;
            }
        }
        answers.abort();
    }

    fn due(&self, sent: &[u8]) -> Cut {
        if !sent.windows(MARK.len()).any(|window| window == MARK) {
            return Cut::Never;
        }
        let cut = std::mem::replace(&mut *self.cut.lock().unwrap(), Cut::Never);
        self.cuts.fetch_add(usize::from(cut != Cut::Never), Ordering::SeqCst);
        cut
    }
}

/// Brings Postgres's answers to the client, or nowhere.
async fn answer(mut from_server: OwnedReadHalf, mut to_client: OwnedWriteHalf, answered: Arc<AtomicBool>) {
    let mut buffer = vec![0; BUFFER];
    while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
        if answered.load(Ordering::SeqCst) && to_client.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

async fn create(gateway: &Arc<Gateway>, world: &World, key: &str) -> Answer {
    let body = json!({"customerAccountId": ACCOUNT, "currency": "USD"});
    let call = Call::new(gateway.clone(), "POST", "/quotes").token(&world.sales()).key(key);
    call.header("prefer", "respond-async").json(body).send().await
}

/// Fault 3.
#[test]
fn a_command_whose_commit_was_not_answered_is_read_back_and_accepted_once() {
    run(async {
        let (world, (line, gateway)) = (World::new().await, Line::with_gateway().await);
        // The statement is prepared where it is cut later.
        assert_eq!(create(&gateway, &world, "warm").await.status, 202);
        *line.cut.lock().unwrap() = Cut::BeforeItsAnswer;
        let answer = create(&gateway, &world, "k").await;
        assert_eq!((answer.status, line.cuts.load(Ordering::SeqCst)), (202, 1), "{}", answer.body);
        let again = create(&gateway, &world, "k").await;
        assert_eq!(again.body["commandId"], answer.body["commandId"]);
        assert_eq!((world.count("command").await, world.count("outbox_event").await), (2, 2));
    });
}

/// Faults 1 and 3: whether or not the command is there, the client's retry has one effect.
#[rstest]
#[case::never_arrived(Cut::BeforePostgresHasIt, 503)]
#[case::was_committed(Cut::BeforeItsAnswer, 202)]
fn a_retry_after_a_broken_connection_has_one_effect(#[case] cut: Cut, #[case] first: u16) {
    run(async move {
        let (world, (line, gateway)) = (World::new().await, Line::with_gateway().await);
        assert_eq!(create(&gateway, &world, "warm").await.status, 202);
        *line.cut.lock().unwrap() = cut;
        let key = Ulid::generate().to_string();
        let answer = create(&gateway, &world, &key).await;
        assert_eq!((answer.status, line.cuts.load(Ordering::SeqCst)), (first, 1), "{}", answer.body);
        if first == 503 {
            assert!(answer.headers.contains_key("retry-after"));
        }
        assert_eq!(create(&gateway, &world, &key).await.status, 202);
        assert_eq!((world.count("command").await, world.count("outbox_event").await), (2, 2));
    });
}
