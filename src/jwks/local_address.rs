//! Recognises hosts on this machine or its own link. The metadata of an issuer elsewhere must not name them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether a URL's host is spelled as a loopback or link-local address, in any form that a client may resolve.
///
/// A host with `%` counts too: it is a zone id, or an encoded name.
pub(super) fn is_local_host(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    let host = host.to_ascii_lowercase();
    if host.contains('%') || host == "localhost" || host.ends_with(".localhost") {
        return true;
    }
    match host.parse::<Ipv6Addr>() {
        Ok(address) => is_local(address.into()),
        Err(_) => numbers_of(&host).is_some_and(|address| is_local(address.into())),
    }
}

/// Whether an address is loopback, link-local or unspecified, or an IPv6 form of such an IPv4 address.
///
/// Private networks do not count: the key servers of a cluster are there.
pub(super) fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_local_v4(address),
        IpAddr::V6(address) => {
            let is_link_local = address.segments()[0] & 0xffc0 == 0xfe80;
            address.is_loopback()
                || address.is_unspecified()
                || is_link_local
                || embedded(address).is_some_and(is_local_v4)
        }
    }
}

/// `0.0.0.0/8` is this host (RFC 1122 section 3.2.1.3). Linux connects `0.0.0.0` to itself.
fn is_local_v4(address: Ipv4Addr) -> bool {
    address.is_loopback() || address.is_link_local() || address.octets()[0] == 0
}

/// The IPv4 address inside an IPv6 address that is mapped, compatible (RFC 4291 section 2.5.5), translated (RFC 2765
/// section 2.1), NAT64 (RFC 6052 section 2.1, RFC 8215) or 6to4 (RFC 3056 section 2).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let (high, low) = match address.segments() {
        [0, 0, 0, 0, 0, 0 | 0xffff, high, low]
        | [0, 0, 0, 0, 0xffff, 0, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low]
        | [0x2002, high, low, ..] => (high, low),
        _ => return None,
    };
    Some(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
}

/// Reads an IPv4 address like `inet_aton`: one to four numbers in decimal, octal or hexadecimal. The last number fills
/// the remaining bytes.
fn numbers_of(host: &str) -> Option<Ipv4Addr> {
    let numbers: Vec<u64> = host.split('.').map(number_of).collect::<Option<_>>()?;
    let (last, first) = numbers.split_last()?;
    let left = 4_u32.checked_sub(u32::try_from(first.len()).ok()?).filter(|left| *left > 0)?;
    let mut bits = *last;
    if bits >= 1 << (8 * left) {
        return None;
    }
    for (place, number) in first.iter().enumerate() {
        if *number > 255 {
            return None;
        }
        bits |= number << (24 - 8 * place);
    }
    u32::try_from(bits).ok().map(Ipv4Addr::from_bits)
}

fn number_of(text: &str) -> Option<u64> {
    let (digits, radix) = match (text.strip_prefix("0x"), text.strip_prefix('0')) {
        // Browsers read a bare `0x` as zero.
        (Some(""), _) => return Some(0),
        (Some(digits), _) => (digits, 16),
        (None, Some(digits)) if !digits.is_empty() => (digits, 8),
        _ => (text, 10),
    };
    if digits.starts_with('+') {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_this_machine_and_its_link_is_local() {
        for host in [
            "localhost",
            "LocalHost.",
            "keys.localhost",
            "keys.LOCALHOST..",
            "127.0.0.1",
            "127.255.255.254",
            "127.0.0.1.",
            "127.1",
            "127.0.1",
            "2130706433",
            "0x7f000001",
            "0X7F.1",
            "017700000001",
            "0177.0.0.1",
            "0x7f.0.0.0x1",
            "0",
            "0x",
            "0.0.0.0",
            "0.1.2.3",
            "169.254.169.254",
            "169.254.43518",
            "0xa9fea9fe",
            "2852039166",
            "0251.0376.0251.0376",
            "[::1]",
            "[::]",
            "[0:0:0:0:0:0:0:1]",
            "[::127.0.0.1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::ffff:169.254.169.254]",
            "[::ffff:0:127.0.0.1]",
            "[64:ff9b::127.0.0.1]",
            "[64:ff9b::a9fe:a9fe]",
            "[64:ff9b:1::127.0.0.1]",
            "[2002:7f00:1::]",
            "[fe80::1]",
            "[febf::1]",
            "[fe80::1%25eth0]",
            "[fe80::1%eth0]",
            "%6cocalhost",
        ] {
            assert!(is_local_host(host), "{host}");
        }
    }

    #[test]
    fn names_private_networks_and_other_numbers_are_not_local() {
        for host in [
            "issuer.example",
            "localhost.issuer.example",
            "127.0.0.1.issuer.example",
            "notlocalhost",
            "10.0.0.1",
            "172.16.0.1",
            "192.168.0.1",
            "100.64.0.1",
            "169.253.0.1",
            "128.0.0.1",
            "1.0.0.0",
            "3232235521",
            "127.0.0.1.1",
            "127.0.0.256",
            "127..1",
            "08",
            "0x7g000001",
            "99999999999999999999999",
            "4294967296",
            "[fd00:ec2::254]",
            "[fc00::1]",
            "[fec0::1]",
            "[2001:db8::1]",
            "[::ffff:10.0.0.1]",
            "[64:ff9b::10.0.0.1]",
            "",
        ] {
            assert!(!is_local_host(host), "{host}");
        }
    }
}
