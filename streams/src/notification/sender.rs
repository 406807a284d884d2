//! How messages leave: to an SMTP server (RFC 5321), or to the log where none is configured. At least once; the
//! Message-ID is the notification's id, so that a repeat can be recognised.

use cpq_state_stores::notifications::{self, Notification};
use cpq_state_stores::{Db, StoreError};
use lettre::message::{Mailbox, header::ContentType};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Messages taken at once: so few that all are tried before the first may be taken again, however slow the server.
const BATCH: i64 = 5;
/// A message taken by a sender that died is taken again after this.
const LEASE: Duration = Duration::from_secs(60);
/// How often the table is asked where nobody wakes the sender.
const SWEEP: Duration = Duration::from_secs(2);
/// A message that cannot be sent as it is (no address, refused for good) is FAILED after so many attempts.
const MAX_REFUSALS: i32 = 8;
/// One that found no server is FAILED after so many: some four days at the longest pause (RFC 5321, 4.5.4.1).
const MAX_ATTEMPTS: i32 = 1_152;
/// Longest pause between attempts.
const MAX_PAUSE_SECONDS: f64 = 300.0;
/// Longest time for one message, from the connection to the server's receipt.
const SMTP_TIMEOUT: Duration = Duration::from_secs(10);
const _: () = assert!(SMTP_TIMEOUT.as_secs() * (BATCH as u64) < LEASE.as_secs());

/// Where messages go.
pub enum Sink {
    /// One structured log record per message.
    Log,
    Smtp(Box<Smtp>),
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
enum Unsent {
    /// As it is, it will hardly ever be.
    #[error("{0}")]
    Refused(String),
    /// The server was not there, not able or too slow. It may have taken the message all the same.
    #[error("{0}")]
    NoServer(String),
}

/// An SMTP server, and how messages to it are addressed.
pub struct Smtp {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    domain: String,
}

impl Sink {
    /// `log:` or an SMTP URL (`smtp://host:port`, `smtps://user:password@host`). `domain` completes an actor id
    /// that is no address.
    pub fn from_url(url: &str, from: &str, domain: &str) -> Result<Self, String> {
        if url == "log:" {
            return Ok(Self::Log);
        }
        let from = from.parse().map_err(|e| format!("the sender '{from}' is not a mailbox: {e}"))?;
        let transport =
            AsyncSmtpTransport::<Tokio1Executor>::from_url(url).map_err(|e| format!("not an SMTP URL: {e}"))?.build();
        Ok(Self::Smtp(Box::new(Smtp { transport, from, domain: domain.to_owned() })))
    }

    async fn send(&self, notification: &Notification) -> Result<(), Unsent> {
        match self {
            Self::Log => {
                tracing::info!(
                    tenant_id = notification.tenant_id,
                    correlation_id = notification.correlation_id,
                    business_key = notification.aggregate_id,
                    kind = notification.kind,
                    recipient = notification.recipient,
                    subject = notification.subject,
                    "notification"
                );
                Ok(())
            }
            Self::Smtp(smtp) => {
                let message = mail(notification, &smtp.from, &smtp.domain).map_err(Unsent::Refused)?;
                // Around all of it, on a connection of its own: a server that answers each command slowly has no more time than one that is silent.
                match tokio::time::timeout(SMTP_TIMEOUT, smtp.transport.send(message)).await {
                    Ok(Ok(_)) => Ok(()),
                    Ok(Err(error)) if error.is_permanent() => Err(Unsent::Refused(error.to_string())),
                    Ok(Err(error)) => Err(Unsent::NoServer(error.to_string())),
                    Err(_) => Err(Unsent::NoServer(format!("no receipt within {} s", SMTP_TIMEOUT.as_secs()))),
                }
            }
        }
    }
}

fn mail(notification: &Notification, from: &Mailbox, domain: &str) -> Result<Message, String> {
    let recipient = &notification.recipient;
    let address = if recipient.contains('@') { recipient.clone() } else { format!("{recipient}@{domain}") };
    let address: Address = address.parse().map_err(|e| format!("'{address}' is not a mail address: {e}"))?;
    // An id ends with its recipient, who may be an address; a Message-ID has one @ (RFC 5322, 3.6.4).
    let id = notification.notification_id.replace('@', ".");
    Message::builder()
        .from(from.clone())
        .to(Mailbox::new(None, address))
        .subject(&notification.subject)
        .message_id(Some(format!("<{id}.{}@{domain}>", notification.tenant_id)))
        // People have names in every script: without it a reader may take the text for ASCII.
        .header(ContentType::TEXT_PLAIN)
        .body(notification.body.clone())
        .map_err(|e| e.to_string())
}

/// The sending loop.
pub struct Sender {
    pub db: Db,
    pub sink: Sink,
    pub wake: Arc<Notify>,
}

impl Sender {
    /// Sends until it is told to stop. A failing database or server is tried again.
    pub async fn run(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            match self.round().await {
                Ok(count) if count == BATCH as usize => continue,
                Ok(_) => {}
                Err(error) => tracing::warn!(%error, "notifications wait for the database"),
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = self.wake.notified() => {}
                () = tokio::time::sleep(SWEEP) => {}
            }
        }
    }

    /// Sends what is due; gives how many were taken.
    async fn round(&self) -> Result<usize, StoreError> {
        let mut tx = self.db.begin_system().await?;
        let due = notifications::claim(&mut tx, LEASE.as_secs_f64(), BATCH).await?;
        tx.commit().await?;
        for notification in &due {
            let sent = self.sink.send(notification).await;
            let mut tx = self.db.begin_system().await?;
            match sent {
                Ok(()) => notifications::sent(&mut tx, notification).await?,
                Err(error) => {
                    metrics::counter!("cpq_notifications_failed_total").increment(1);
                    tracing::warn!(
                        notification_id = notification.notification_id,
                        correlation_id = notification.correlation_id,
                        %error,
                        "not sent"
                    );
                    notifications::not_sent(
                        &mut tx,
                        notification,
                        &error.to_string(),
                        pause(&error, notification.attempts),
                    )
                    .await?;
                }
            }
            tx.commit().await?;
        }
        Ok(due.len())
    }
}

/// Seconds before the next attempt: doubling from 2 up to the longest; `None` after the last.
fn pause(error: &Unsent, attempts: i32) -> Option<f64> {
    let most = match error {
        Unsent::Refused(_) => MAX_REFUSALS,
        Unsent::NoServer(_) => MAX_ATTEMPTS,
    };
    (attempts < most).then(|| 2_f64.powi(attempts).min(MAX_PAUSE_SECONDS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    fn notification(recipient: &str) -> Notification {
        Notification {
            tenant_id: "tenant-acme".into(),
            notification_id: "01J-bob".into(),
            kind: "APPROVAL_TASK".into(),
            recipient: recipient.into(),
            subject: "Approval task".into(),
            body: "Please decide.".into(),
            aggregate_id: "apr-2026-000001-r4".into(),
            correlation_id: "c".into(),
            attempts: 1,
        }
    }

    #[rstest]
    #[case("bob", "bob@example.com")]
    #[case("bob@acme.test", "bob@acme.test")]
    fn an_actor_without_an_address_gets_the_mail_domain(#[case] recipient: &str, #[case] address: &str) {
        let message = mail(&notification(recipient), &"cpq@example.com".parse().unwrap(), "example.com").unwrap();
        let text = String::from_utf8(message.formatted()).unwrap();
        assert!(text.contains(&format!("To: {address}")), "{text}");
        assert!(text.contains("Message-ID: <01J-bob.tenant-acme@example.com>"), "{text}");
    }

    #[test]
    fn a_recipient_that_is_no_address_is_refused() {
        assert!(mail(&notification("two words"), &"cpq@example.com".parse().unwrap(), "example.com").is_err());
    }

    #[rstest]
    #[case::first(1, Some(2.0), Some(2.0))]
    #[case::later(MAX_REFUSALS, Some(256.0), None)]
    #[case::after_a_day(300, Some(MAX_PAUSE_SECONDS), None)]
    #[case::last(MAX_ATTEMPTS, None, None)]
    fn a_message_waits_for_days_for_a_server_but_not_for_one_that_refuses_it(
        #[case] attempts: i32,
        #[case] no_server: Option<f64>,
        #[case] refused: Option<f64>,
    ) {
        assert_eq!(pause(&Unsent::NoServer("down".to_owned()), attempts), no_server);
        assert_eq!(pause(&Unsent::Refused("550".to_owned()), attempts), refused);
    }
}
