use super::super::reader::Reader;
use super::{days, minutes};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

const fn every_interface(port: u16) -> SocketAddr {
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), port)
}

/// `api.*`
#[derive(Debug, Clone)]
pub struct ApiSettings {
    /// Where the API listens; port 0 takes a free one.
    pub bind: SocketAddr,
}

impl Default for ApiSettings {
    fn default() -> Self {
        Self { bind: every_interface(8080) }
    }
}

impl ApiSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self { bind: reader.address("api.bind", Self::default().bind) }
    }
}

/// Who may switch the receiver on and off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ReceiverControl {
    /// The tenant's or an operator's key is needed.
    #[default]
    Key,
    /// Anyone who reaches the port: for demonstrations.
    Open,
}

/// `receiver.*`
#[derive(Debug, Clone)]
pub struct ReceiverSettings {
    /// Where the receiver listens; port 0 takes a free one.
    pub bind: SocketAddr,
    /// Who may switch it.
    pub control: ReceiverControl,
    /// How long arrivals are remembered, and with them what is a duplicate.
    pub receipt_retention: Duration,
}

impl Default for ReceiverSettings {
    fn default() -> Self {
        Self { bind: every_interface(8081), control: ReceiverControl::Key, receipt_retention: days(7) }
    }
}

impl ReceiverSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        let default = Self::default();
        let controls = [("key", ReceiverControl::Key), ("open", ReceiverControl::Open)];
        Self {
            bind: reader.address("receiver.bind", default.bind),
            control: reader.choice("receiver.control", default.control, &controls),
            // Ten minutes is the replay memory that signatures rely on.
            receipt_retention: reader.duration(
                "receiver.receipt_retention",
                default.receipt_retention,
                minutes(10)..=days(365),
            ),
        }
    }
}

/// `admin.*`
#[derive(Debug, Clone)]
pub struct AdminSettings {
    /// Where health and metrics are answered; port 0 takes a free one.
    pub bind: SocketAddr,
}

impl Default for AdminSettings {
    fn default() -> Self {
        Self { bind: every_interface(8082) }
    }
}

impl AdminSettings {
    pub(super) fn read(reader: &mut Reader) -> Self {
        Self { bind: reader.address("admin.bind", Self::default().bind) }
    }
}
