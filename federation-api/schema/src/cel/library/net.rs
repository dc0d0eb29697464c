//! Addresses and networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::super::value::{EvalError, Value};
use super::{Row, wrong};

pub(super) const TABLE: &[Row] = &[
    ("ip", ip),
    ("isIP", is_ip),
    ("ip.isCanonical", is_canonical),
    ("family", family),
    ("isUnspecified", is_unspecified),
    ("isLoopback", is_loopback),
    ("isLinkLocalMulticast", is_link_local_multicast),
    ("isLinkLocalUnicast", is_link_local_unicast),
    ("isGlobalUnicast", is_global_unicast),
    ("cidr", cidr),
    ("isCIDR", is_cidr),
    ("containsIP", contains_ip),
    ("containsCIDR", contains_cidr),
    ("prefixLength", prefix_length),
    ("masked", masked),
];

type Out<'a> = Result<Value<'a>, EvalError>;

fn parse_ip(text: &str) -> Result<IpAddr, EvalError> {
    if let Some((address, zone)) = text.split_once('%')
        && !zone.is_empty()
        && address.parse::<Ipv6Addr>().is_ok()
    {
        return Err(EvalError::new(format!("IP address {text:?} with zone value is not allowed")));
    }
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) if address.to_ipv4_mapped().is_some() => {
            Err(EvalError::new(format!("IPv4-mapped IPv6 address {text:?} is not allowed")))
        }
        Ok(address) => Ok(address),
        Err(_) => Err(EvalError::new(format!(
            "IP Address {text:?} parse error during conversion from string: ParseAddr({text:?}): {}",
            complaint(text)
        ))),
    }
}

/// What Go says of a text that is no address.
fn complaint(text: &str) -> String {
    let first = text.find(['.', ':', '%']).map(|at| &text[at..=at]);
    if first != Some(".") {
        return "unable to parse IP".to_owned();
    }
    let (mut fields, mut value, mut digits) = (0, 0_u32, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'0'..=b'9' if digits == 1 && value == 0 => return "IPv4 field has octet with leading zero".to_owned(),
            b'0'..=b'9' => {
                value = value * 10 + u32::from(byte - b'0');
                digits += 1;
                if value > 255 {
                    return "IPv4 field has value >255".to_owned();
                }
            }
            b'.' if digits == 0 || at + 1 == text.len() => {
                return format!("IPv4 field must have at least one digit (at {:?})", &text[at..]);
            }
            b'.' if fields == 3 => return "IPv4 address too long".to_owned(),
            b'.' => (fields, value, digits) = (fields + 1, 0, 0),
            _ => return format!("unexpected character (at {:?})", text.get(at..).unwrap_or("")),
        }
    }
    "IPv4 address too short".to_owned()
}

fn parse_cidr(text: &str) -> Result<(IpAddr, u8), EvalError> {
    let failed = |why: &str| {
        EvalError::new(format!(
            "network address parse error during conversion from string: network address parse error during conversion \
             from string: netip.ParsePrefix({text:?}): {why}"
        ))
    };
    let (address, bits) = text.rsplit_once('/').ok_or_else(|| failed("no '/'"))?;
    let address: IpAddr = address.parse().map_err(|_| failed("unable to parse IP"))?;
    if matches!(address, IpAddr::V6(address) if address.to_ipv4_mapped().is_some()) {
        return Err(EvalError::new(format!(
            "network address parse error during conversion from string: IPv4-mapped IPv6 address {text:?} is not \
             allowed"
        )));
    }
    let plain =
        !bits.is_empty() && bits.bytes().all(|b| b.is_ascii_digit()) && (bits.len() == 1 || !bits.starts_with('0'));
    let most = if address.is_ipv4() { 32 } else { 128 };
    match bits.parse::<u8>() {
        Ok(bits) if plain && bits <= most => Ok((address, bits)),
        Ok(_) if plain => Err(failed("prefix length out of range")),
        _ => Err(failed(&format!("bad bits after slash: {bits:?}"))),
    }
}

/// The first address of a network.
fn network(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            Ipv4Addr::from(u32::from(address) & mask).into()
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
            Ipv6Addr::from(u128::from(address) & mask).into()
        }
    }
}

fn within(address: IpAddr, (net, bits): (IpAddr, u8)) -> bool {
    address.is_ipv4() == net.is_ipv4() && network(address, bits) == network(net, bits)
}

fn ip<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::String(text)] => parse_ip(text).map(Value::Ip),
        [Value::Cidr(address, _)] => Ok(Value::Ip(*address)),
        _ => wrong(),
    }
}

fn is_ip<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::String(text)] => Ok(Value::Bool(parse_ip(text).is_ok())),
        _ => wrong(),
    }
}

fn is_canonical<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::String(text)] => Ok(Value::Bool(parse_ip(text)?.to_string() == **text)),
        _ => wrong(),
    }
}

fn family<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Ip(address)] => Ok(Value::Int(if address.is_ipv4() { 4 } else { 6 })),
        _ => wrong(),
    }
}

fn is<'a>(args: &[Value<'a>], what: fn(&IpAddr) -> bool) -> Out<'a> {
    match args {
        [Value::Ip(address)] => Ok(Value::Bool(what(address))),
        _ => wrong(),
    }
}

fn is_unspecified<'a>(args: &[Value<'a>]) -> Out<'a> {
    is(args, IpAddr::is_unspecified)
}

fn is_loopback<'a>(args: &[Value<'a>]) -> Out<'a> {
    is(args, IpAddr::is_loopback)
}

fn link_local(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.segments()[0] & 0xffc0 == 0xfe80,
    }
}

fn is_link_local_multicast<'a>(args: &[Value<'a>]) -> Out<'a> {
    is(args, |address| match address {
        IpAddr::V4(address) => address.octets()[..3] == [224, 0, 0],
        IpAddr::V6(address) => address.segments()[0] & 0xff0f == 0xff02,
    })
}

fn is_link_local_unicast<'a>(args: &[Value<'a>]) -> Out<'a> {
    is(args, link_local)
}

fn is_global_unicast<'a>(args: &[Value<'a>]) -> Out<'a> {
    is(args, |address| {
        let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
        !address.is_unspecified()
            && !broadcast
            && !address.is_loopback()
            && !address.is_multicast()
            && !link_local(address)
    })
}

fn cidr<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::String(text)] => parse_cidr(text).map(|(address, bits)| Value::Cidr(address, bits)),
        _ => wrong(),
    }
}

fn is_cidr<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::String(text)] => Ok(Value::Bool(parse_cidr(text).is_ok())),
        _ => wrong(),
    }
}

fn contains_ip<'a>(args: &[Value<'a>]) -> Out<'a> {
    let (own, address) = match args {
        [Value::Cidr(net, bits), Value::Ip(address)] => ((*net, *bits), *address),
        [Value::Cidr(net, bits), Value::String(text)] => ((*net, *bits), parse_ip(text)?),
        _ => return wrong(),
    };
    Ok(Value::Bool(within(address, own)))
}

fn contains_cidr<'a>(args: &[Value<'a>]) -> Out<'a> {
    let (own, (address, bits)) = match args {
        [Value::Cidr(net, own), Value::Cidr(address, bits)] => ((*net, *own), (*address, *bits)),
        [Value::Cidr(net, own), Value::String(text)] => ((*net, *own), parse_cidr(text)?),
        _ => return wrong(),
    };
    Ok(Value::Bool(own.1 <= bits && within(address, own)))
}

fn prefix_length<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Cidr(_, bits)] => Ok(Value::Int(i64::from(*bits))),
        _ => wrong(),
    }
}

fn masked<'a>(args: &[Value<'a>]) -> Out<'a> {
    match args {
        [Value::Cidr(address, bits)] => Ok(Value::Cidr(network(*address, *bits), *bits)),
        _ => wrong(),
    }
}
