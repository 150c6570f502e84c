//! The load balancers that may say whom a connection comes from: `haproxy_trusted_networks` and
//! `haproxy_timeout`, and how their header is taken off the socket. Used by whoever serves a listener with
//! `haproxy = yes`; what the header means is [`proxy_protocol`].

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use base::Logger;
use settings::{Settings, key};
use tokio::net::TcpStream;

use crate::limits::HEADER_PAUSE;
use crate::networks::Networks;
use crate::proxy_protocol::{self, HEADER_BYTES_MAX, Header, Parsed};

/// The `haproxy_*` settings.
#[derive(Debug, Clone)]
pub struct LoadBalancers {
    trusted: Arc<Networks>,
    timeout: Duration,
}

impl LoadBalancers {
    /// What is wrong with the settings is logged.
    pub fn new(settings: &Settings, log: &Logger) -> Self {
        let (trusted, bad) = Networks::parse(settings.get(key::HAPROXY_TRUSTED_NETWORKS));
        if let Some(bad) = bad {
            log.error(format_args!("haproxy_trusted_networks: {bad}"));
        }
        Self { trusted: Arc::new(trusted), timeout: settings.get(key::HAPROXY_TIMEOUT) }
    }

    /// Takes the header that the load balancer at `rip` sends first, and nothing behind it. `None` if the
    /// connection is to be closed; why is in the log.
    pub async fn header(&self, socket: &TcpStream, rip: IpAddr, log: &Logger) -> Option<Header> {
        if !self.trusted.contains(rip) {
            log.error(format_args!("haproxy: Client not trusted (rip={rip})"));
            return None;
        }
        let header = tokio::time::timeout(self.timeout, Box::pin(header(socket, rip, log))).await;
        header.unwrap_or_else(|_| {
            log.error(format_args!("haproxy: Client timed out (rip={rip})"));
            None
        })
    }
}

/// Reads the header and nothing after it: looks first, takes then.
async fn header(stream: &TcpStream, rip: IpAddr, log: &Logger) -> Option<Header> {
    let mut seen = 0;
    let mut bytes = vec![0; HEADER_BYTES_MAX];
    loop {
        let count = match stream.peek(&mut bytes).await {
            Ok(0) => {
                log.info(format_args!("haproxy: Client disconnected (rip={rip}): Connection reset by peer"));
                return None;
            }
            Ok(count) => count,
            Err(error) => {
                log.info(format_args!("haproxy: Client disconnected (rip={rip}): {error}"));
                return None;
            }
        };
        match proxy_protocol::parse(bytes.get(..count).unwrap_or_default()) {
            Ok(Parsed::Complete(header, size)) => {
                if let Some(warning) = &header.warning {
                    log.error(format_args!("haproxy(v2): {warning}, rip={rip})"));
                }
                // What was seen is there to be taken.
                stream.try_read(bytes.get_mut(..size)?).ok()?;
                return Some(header);
            }
            Ok(Parsed::Incomplete) if count < HEADER_BYTES_MAX => {
                // Bytes that were only looked at keep the socket readable: wait for more, not for any.
                if count == seen {
                    tokio::time::sleep(HEADER_PAUSE).await;
                }
                seen = count;
            }
            Ok(Parsed::Incomplete) => {
                log.error(format_args!("haproxy: Client disconnected: Too long header (rip={rip})"));
                return None;
            }
            Err(refusal) => {
                log.error(refusal.line(rip));
                return None;
            }
        }
    }
}
