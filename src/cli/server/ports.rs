//! The ports that the server listens on, and what becomes of one that another process holds.
//!
//! Under our own name it is waited for: where iamgate takes the place of another authenticator, that
//! one goes when whoever runs it takes it away, and nobody can sign in from then until we answer. A
//! server that ended instead would be started again later and later: kubelet's pauses grow to five
//! minutes. Under the reference's names the server ends, as the reference does.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::Instant;
use tracing::warn;

use crate::face::Face;
use crate::outcome::Failure;
use crate::server;

/// The webhook's port and the one for health, which is done without where it cannot be had.
///
/// # Errors
/// The first one cannot be opened, or is not free in time.
pub(super) async fn open(
    webhook: SocketAddr,
    health: SocketAddr,
    face: Face,
) -> Result<(TcpListener, Option<TcpListener>), Failure> {
    let patience = match face {
        Face::Own => PATIENCE,
        Face::Reference => Duration::ZERO,
    };
    let begun = Instant::now();
    let listener = free(webhook, patience).await?;
    // Who held the one holds the other, and gives it up a moment later.
    let also = if begun.elapsed() < BETWEEN { Duration::ZERO } else { MOMENT };
    if !also.is_zero() {
        // Whatever is in its way then is told by the next line.
        drop(free(health, also).await);
    }
    Ok((listener, server::bind_health(health).await))
}

/// The port, as soon as nobody else holds it.
async fn free(address: SocketAddr, patience: Duration) -> Result<TcpListener, Failure> {
    let begun = Instant::now();
    loop {
        let fault = match server::bind(address).await {
            Ok(listener) => return Ok(listener),
            Err(fault) => fault,
        };
        if fault.kind() != ErrorKind::AddrInUse || begun.elapsed() >= patience {
            let failure = format!("could not open TLS listener on {address}: {fault}");
            return Err(Failure::from(failure)
                .hint("another process may hold the port; --port and --address choose another"));
        }
        if begun.elapsed() < BETWEEN {
            warn!(%address, seconds = patience.as_secs(), "another process holds the port; waiting for it");
        }
        tokio::time::sleep(BETWEEN).await;
    }
}

/// kubelet forgets that a container failed when it has run for ten minutes, so that the next start
/// after ours comes at once. Nobody who types the command waits that long without reading why.
const PATIENCE: Duration = Duration::from_secs(15 * 60);
/// For the second port of a process that has just given up its first.
const MOMENT: Duration = Duration::from_secs(5);
/// Between two tries. As long as this, nobody can sign in.
const BETWEEN: Duration = Duration::from_millis(250);

#[cfg(test)]
mod tests {
    use super::*;

    async fn held() -> (TcpListener, SocketAddr) {
        let holder = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = holder.local_addr().unwrap();
        (holder, address)
    }

    #[tokio::test]
    async fn ports_that_another_process_holds_are_ours_when_it_has_gone() {
        let ((webhook, address), (health, health_address)) = (held().await, held().await);
        let opening = tokio::spawn(open(address, health_address, Face::Own));
        tokio::time::sleep(BETWEEN * 2).await;
        assert!(!opening.is_finished());
        drop(webhook);
        tokio::time::sleep(BETWEEN * 2).await;
        drop(health);
        let (webhook, health) = opening.await.unwrap().unwrap();
        assert_eq!(webhook.local_addr().unwrap(), address);
        assert_eq!(health.unwrap().local_addr().unwrap(), health_address);
    }

    #[tokio::test]
    async fn under_the_references_names_a_port_that_is_held_is_a_fault_at_once() {
        let ((_webhook, address), (_health, health_address)) = (held().await, held().await);
        let begun = Instant::now();
        let fault = open(address, health_address, Face::Reference).await.unwrap_err();
        assert!(begun.elapsed() < BETWEEN);
        let told = fault.to_string();
        assert!(told.contains(&format!("could not open TLS listener on {address}: ")), "{told}");
    }

    #[tokio::test]
    async fn a_port_that_stays_held_is_a_fault_in_the_end() {
        let (_holder, address) = held().await;
        let fault = free(address, BETWEEN).await.unwrap_err().to_string();
        assert!(fault.contains("could not open TLS listener"), "{fault}");
    }

    #[tokio::test]
    async fn what_waiting_does_not_mend_is_not_waited_for() {
        // Documentation's, and not of this machine.
        let address = "203.0.113.1:1".parse().unwrap();
        let begun = Instant::now();
        free(address, PATIENCE).await.unwrap_err();
        assert!(begun.elapsed() < MOMENT);
    }
}
