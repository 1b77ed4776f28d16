//! Which peers may say what certificate a client has.

use std::net::{IpAddr, SocketAddr};

use http::Extensions;

use crate::ConfigError;

/// The address of the peer of a connection. A server puts it into the extensions of every request of the connection,
/// for [`CertificateSource::header`](super::CertificateSource::header). With the feature `axum`, the layer also finds
/// axum's `ConnectInfo<SocketAddr>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerAddress(IpAddr);

impl PeerAddress {
    /// The address in the extensions of a request, if there is one.
    pub(super) fn of(extensions: &Extensions) -> Option<IpAddr> {
        match extensions.get::<Self>() {
            Some(Self(address)) => Some(*address),
            #[cfg(feature = "axum")]
            None => extensions
                .get::<axum::extract::ConnectInfo<SocketAddr>>()
                .map(|connection| connection.0.ip()),
            #[cfg(not(feature = "axum"))]
            None => None,
        }
    }
}

impl From<IpAddr> for PeerAddress {
    fn from(address: IpAddr) -> Self {
        Self(address)
    }
}

impl From<SocketAddr> for PeerAddress {
    fn from(address: SocketAddr) -> Self {
        Self(address.ip())
    }
}

/// The addresses and networks of proxies that may send a client certificate in a header.
///
/// ```
/// use tower_bearer::client_certificate::TrustedProxies;
///
/// assert!(TrustedProxies::new(["192.0.2.7", "10.0.0.0/8", "2001:db8::/32"]).is_ok());
/// assert!(TrustedProxies::new(["10.0.0.1/8"]).is_err());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustedProxies(Vec<Network>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    /// No bit behind the prefix is set.
    address: IpAddr,
    prefix: u32,
}

impl TrustedProxies {
    /// Proxies at these addresses, and in these networks (`10.0.0.0/8`). An IPv4 address that a socket shows as an IPv6
    /// address (`::ffff:10.0.0.1`) is the IPv4 address.
    ///
    /// # Errors
    /// [`ConfigError::InvalidProxy`] for anything else: a host name, a network with bits behind its prefix, a network
    /// of all addresses, or an IPv4 network that is written as an IPv6 network.
    pub fn new<T>(proxies: T) -> Result<Self, ConfigError>
    where
        T: IntoIterator,
        T::Item: AsRef<str>,
    {
        let networks = proxies.into_iter().map(|proxy| {
            let proxy = proxy.as_ref();
            Network::parse(proxy).ok_or_else(|| ConfigError::InvalidProxy(proxy.to_owned()))
        });
        networks.collect::<Result<_, _>>().map(Self)
    }

    /// Proxies on the same machine: `127.0.0.0/8` and `::1`.
    #[must_use]
    pub fn loopback() -> Self {
        let v4 = Network { address: IpAddr::from([127, 0, 0, 0]), prefix: 8 };
        let v6 = Network { address: IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1_u16]), prefix: 128 };
        Self(vec![v4, v6])
    }

    pub(super) fn contain(&self, peer: IpAddr) -> bool {
        let peer = peer.to_canonical();
        self.0.iter().any(|network| network.contains(peer))
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = match text.split_once('/') {
            None => {
                let address = text.parse::<IpAddr>().ok()?.to_canonical();
                (address, bits(address))
            }
            Some((address, prefix)) => {
                let address: IpAddr = address.parse().ok()?;
                // `parse` also accepts a plus sign.
                let is_number = prefix.bytes().all(|byte| byte.is_ascii_digit());
                let prefix = prefix.parse().ok().filter(|_| is_number)?;
                (address, prefix)
            }
        };
        let unused = bits(address).checked_sub(prefix).filter(|_| prefix > 0)?;
        let is_aligned = match address {
            IpAddr::V4(address) => u32::from(address).trailing_zeros() >= unused,
            IpAddr::V6(address) => u128::from(address).trailing_zeros() >= unused,
        };
        // Peers never have such an address.
        let is_mapped = address.to_canonical() != address;
        (is_aligned && !is_mapped).then_some(Self { address, prefix })
    }

    fn contains(&self, peer: IpAddr) -> bool {
        match (self.address, peer) {
            (IpAddr::V4(network), IpAddr::V4(peer)) => {
                (u32::from(network) ^ u32::from(peer)).leading_zeros() >= self.prefix
            }
            (IpAddr::V6(network), IpAddr::V6(peer)) => {
                (u128::from(network) ^ u128::from(peer)).leading_zeros() >= self.prefix
            }
            _ => false,
        }
    }
}

fn bits(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(proxies: &str, peer: &str) -> bool {
        TrustedProxies::new([proxies]).unwrap().contain(peer.parse().unwrap())
    }

    #[test]
    fn a_network_contains_exactly_the_addresses_with_its_prefix() {
        for (network, inside, outside) in [
            ("192.0.2.7", "192.0.2.7", "192.0.2.6"),
            ("192.0.2.7", "::ffff:192.0.2.7", "::192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7", "::1"),
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("10.0.0.0/8", "::ffff:10.1.2.3", "::a01:203"),
            ("10.128.0.0/9", "10.128.0.0", "10.127.255.255"),
            ("10.0.0.2/31", "10.0.0.3", "10.0.0.4"),
            ("0.0.0.0/1", "127.0.0.1", "128.0.0.0"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1", "127.0.0.1"),
            ("::/1", "7fff::", "10.0.0.1"),
        ] {
            assert!(contains(network, inside), "{network} {inside}");
            assert!(!contains(network, outside), "{network} {outside}");
        }
    }

    #[test]
    fn other_texts_are_not_proxies() {
        for text in [
            "",
            " 10.0.0.1",
            "10.0.0.1:80",
            "[::1]",
            "proxy.example",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/+8",
            "10.0.0.0/0",
            "::/0",
            "::1/127",
            "2001:db8::/129",
            "::ffff:10.0.0.0/104",
            "10.0.0.0/8/8",
        ] {
            let error = TrustedProxies::new(["::1", text]).unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn loopback_is_this_machine_only() {
        for (peer, is_loopback) in [
            ("127.0.0.1", true),
            ("127.9.9.9", true),
            ("::1", true),
            ("128.0.0.1", false),
            ("::2", false),
        ] {
            let peer = peer.parse().unwrap();
            assert_eq!(TrustedProxies::loopback().contain(peer), is_loopback, "{peer}");
        }
        assert!(!TrustedProxies::new([] as [&str; 0]).unwrap().contain([127, 0, 0, 1].into()));
    }
}
